"""Archives of NumPy that are wrong: a clear error, and nothing is changed."""

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.service.features.spaces.hand_overs import send
from tests.service.http.test_bad_input import problem


def npz_of(**parts: bytes) -> bytes:
    return packed_by(zipfile.ZIP_DEFLATED, **parts)


def packed_by(way: int, **parts: bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", way) as archive:
        for name, data in parts.items():
            archive.writestr(f"{name}.npy", data)
    return into.getvalue()


def displaced(archive: bytes) -> bytes:
    """An archive that tells that its list of parts begins further on."""
    (place,) = struct.unpack("<L", archive[-6:-2])
    return archive[:-6] + struct.pack("<L", place + 1000) + archive[-2:]


def npy(values: Any) -> bytes:
    into = io.BytesIO()
    np.lib.format.write_array(into, np.asarray(values), allow_pickle=True)
    return into.getvalue()


def header(descr: str, shape: str, fortran: bool = False) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


IDS = npy(["s000", "s001"])
NO_CHARACTER = struct.pack(">2L", 65, 0x110000)
USERLESS = {"ids": IDS, "vectors": npy(np.ones((2, 4)))}
USERS_TOO = {**USERLESS, "user_ids": IDS, "user_vectors": npy(np.ones((2, 4)))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "what"),
    [
        (npz_of(ids=IDS, vectors=header("'<f4'", "(2, 1024)") + bytes(10)), "its header tells"),
        (
            lambda: npz_of(ids=IDS, vectors=npy(np.zeros((2, 1024))) + bytes(90_000_000)),
            "header tells",
        ),
        (lambda: npz_of(ids=IDS, vectors=npy(np.ones((2, 11_000_000), "f4"))), "real vectors do"),
        (npz_of(ids=IDS, vectors=npy(np.ones((2, 5000)))), "1 to 1024 may be"),
        (npz_of(ids=IDS, vectors=header("'<f4'", "(2000000, 0)")), "do not belong together"),
        *(
            (npz_of(ids=IDS, vectors=header("'<f4'", shape)), "its shape is no tuple of sizes")
            for shape in ("(1e999, 4)", "(2.0, 4)", "(-2, 4)", "'24'", f"(0x{'f' * 4000}, 4)")
        ),
        (npz_of(ids=npy(np.array(["a", "b"], object)), vectors=npy(np.ones((2, 4)))), "pickled"),
        (npz_of(ids=IDS, vectors=npy(np.array([[1], [2]], object))), "is pickled"),
        (npz_of(ids=npy([1, 2]), vectors=npy(np.ones((2, 4)))), "write ids.astype(str)"),
        (
            npz_of(ids=npy(["s001", "x" * 300]), vectors=npy(np.ones((2, 4)))),
            "longer ids than the 128 characters",
        ),
        (npz_of(ids=IDS, vectors=npy(np.ones((2, 4), int))), "write float32"),
        (npz_of(ids=IDS, vectors=npy(np.asfortranarray(np.ones((2, 4))))), "ascontiguousarray"),
        (npz_of(ids=IDS, vectors=header("[('a', '<f4')]", "(2,)")), "its rows are records"),
        (npz_of(ids=IDS, vectors=header("'<f4'", "(" * 1500 + "2" + ")" * 1500)), "vectors: "),
        (packed_by(zipfile.ZIP_LZMA, **USERLESS), "ids: is packed in a way that NumPy does not"),
        (packed_by(zipfile.ZIP_BZIP2, **USERLESS), "write it by numpy.savez or"),
        (displaced(npz_of(**USERLESS)), "begins outside of the file"),
        (npz_of(ids=IDS), "vectors: is missing"),
        (npz_of(ids=IDS, vectors=npy(np.ones((2, 4))), other=IDS), "'other.npy' is not known"),
        (npz_of(**{f"a{i}": b"" for i in range(3000)}), "too many parts"),
        (npz_of(ids=IDS, vectors=npy(np.ones((3, 4)))), "do not belong together"),
        (npz_of(ids=npy(["s000", "s000"]), vectors=npy(np.ones((2, 4)))), "more than once"),
        (npz_of(ids=npy(["s000", "a b"]), vectors=npy(np.ones((2, 4)))), "the id 'a b' is not"),
        (
            npz_of(ids=IDS, vectors=npy(np.ones((2, 4))), interactions=npy([1.0, -1.0])),
            "interactions are -1.0",
        ),
        (npz_of(ids=IDS, vectors=npy(np.ones((2, 4))), user_ids=IDS), "user_vectors: is missing"),
        (
            npz_of(**USERLESS, **{"user_attributes.x": npy([1, 2])}),
            "user_ids: is missing",
        ),
        (
            npz_of(**USERS_TOO, **{"user_attributes.x": npy([1, 2, 3])}),
            "user_attributes.x: is of shape (3,)",
        ),
        (
            npz_of(**USERS_TOO, **{"user_attributes.x": npy(["a", "b" * 501])}),
            "1 to 500 characters",
        ),
        (
            npz_of(**USERS_TOO, **{"user_attributes.x": npy([b"a", b"b" * 501])}),
            "user_attributes.x[1]: the text has 501 characters; 1 to 500",
        ),
        (
            npz_of(**USERS_TOO, **{"user_attributes.x": npy([b"a", b"\xff"])}),
            "user_attributes.x[1]: the text is not in UTF-8",
        ),
        (
            npz_of(**USERS_TOO, **{"user_attributes.x": npy(["a", "\ud800"])}),
            "user_attributes.x[1]: the text has the code 0xd800, which is no character",
        ),
        (
            npz_of(**USERS_TOO, **{"user_attributes.x": header("'>U1'", "(2,)") + NO_CHARACTER}),
            "user_attributes.x[1]: the text has the code 0x110000",
        ),
        (
            npz_of(**USERS_TOO, **{"user_attributes.x": npy(np.ones(2, np.longdouble))}),
            "user_attributes.x: is of type float128; write float64",
        ),
        (
            npz_of(ids=header("'>U1'", "(2,)") + NO_CHARACTER, vectors=npy(np.ones((2, 4)))),
            "ids[1]: the text has the code 0x110000",
        ),
        (
            npz_of(**USERLESS, user_ids=npy(["a", "\udfff"]), user_vectors=npy(np.ones((2, 4)))),
            "user_ids[1]: the text has the code 0xdfff",
        ),
        (
            npz_of(**USERS_TOO, **{"user_attributes.x": npy(np.array(["a", 1], object))}),
            "user_attributes.x: is pickled",
        ),
        (
            npz_of(
                ids=IDS,
                vectors=npy(np.ones((2, 4))),
                user_ids=IDS,
                user_vectors=npy(np.ones((2, 5))),
            ),
            "a space has one width",
        ),
    ],
)
def test_archives_that_are_none(
    serving: TestClient, body: bytes | Callable[[], bytes], what: str
) -> None:
    archive = body() if callable(body) else body  # what takes long is made by its test alone
    assert what in problem(send(serving, "g1", archive), 422, "invalid_request")["detail"]
