"""`GET /v1/model`: the manifest's figures and calibration, for who may ask at all."""

from fastapi.testclient import TestClient

from tests.bundles import CALIBRATION, DIM


def test_the_card_is_that_of_the_bundle(client: TestClient) -> None:
    card = client.get("/v1/model").json()
    assert card["model_version"] == client.get("/readyz").json()["model_version"]
    assert card["dim"] == DIM
    for kind in ("embedding", "content"):
        expected = getattr(CALIBRATION, kind)
        shown = card["calibration"][kind]
        assert (shown["source"], shown["base_rate"]) == (expected.source, expected.base_rate)
        assert [
            (curve["fewest"], curve["most"], [knot["at_least"] for knot in curve["knots"]])
            for curve in shown["curves"]
        ] == [(c.fewest, c.most, [k.at_least for k in c.knots]) for c in expected.curves]
