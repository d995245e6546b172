import pytest

from model_export.contract.features import Featurizer
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from training.errors import DataError
from training.features.vocabulary import build_vocabulary


def profiles(*contents: dict) -> list:
    return [
        pieces_of(StreamerProfile.model_validate({"streamer_id": f"s{i}", **content}))
        for i, content in enumerate(contents)
    ]


def test_counts_each_streamer_once_whatever_the_modality():
    found = build_vocabulary(
        profiles({"bio": "soup soup", "name": "soup"}, {"bio": "Soup!"}, {"bio": "bread"})
    )
    assert (list(found.tokens), list(found.document_frequency)) == (["w=soup"], [2])
    assert found.documents == 3


def test_the_most_frequent_tokens_are_kept():
    contents = [{"tags": ["a", "b", "c"]}, {"tags": ["a", "b", "c"]}, {"tags": ["b", "c"]}]
    assert list(build_vocabulary(profiles(*contents), max_tokens=2).tokens) == ["t=b", "t=c"]
    assert list(build_vocabulary(profiles(*contents), max_tokens=2).document_frequency) == [3, 3]


def test_does_not_depend_on_the_order_of_the_streamers():
    contents = [{"tags": ["a", "b"]}, {"tags": ["b", "c"]}, {"tags": ["c", "a"]}]
    assert build_vocabulary(profiles(*contents)) == build_vocabulary(profiles(*contents[::-1]))


def test_texts_and_vectors_that_many_share_are_uninformative():
    placeholder = {"vector": [1.0, 2.0], "space": "covers"}
    contents = [
        {"bio": "欢迎关注!!", "avatar": placeholder, "tags": ["fun", f"own{i % 3}"]}
        for i in range(6)
    ]
    found = build_vocabulary(profiles(*contents))
    features = Featurizer(found).from_pieces(profiles(contents[0])[0])
    assert features.status["bio"] == "uninformative"
    assert features.status["avatar"] == "uninformative"
    assert features.status["tags"] == "used"
    assert "t=fun" in found.tokens
    assert not [token for token in found.tokens if "欢" in token]


def test_five_streamers_may_share_a_text():
    found = build_vocabulary(profiles(*[{"bio": "good evening"}] * 5))
    assert not found.uninformative
    assert "w=evening" in found.tokens


def test_half_a_percent_may_share_a_text():
    own = [{"bio": f"about {''.join(chr(97 + int(d)) for d in str(i))}"} for i in range(1990)]
    found = build_vocabulary(profiles(*[{"bio": "good evening"}] * 10, *own))
    assert not found.uninformative
    found = build_vocabulary(profiles(*[{"bio": "good evening"}] * 11, *own))
    assert len(found.uninformative) == 1


def test_texts_that_differ_in_numbers_and_signs_alone_are_counted_together():
    titles = ["video 1", "Video #2!", "VIDEO 3 🎮", "video４", "video 5", "video  66"]
    contents = [
        {"bio": f"own {word}", "videos": [{"video_id": "v", "title": title}]}
        for word, title in zip("abcdef", titles, strict=True)
    ]
    found = build_vocabulary(profiles(*contents))
    assert len(found.uninformative) == 1
    assert not [token for token in found.tokens if "video" in token]
    unseen = {"videos": [{"video_id": "v", "title": "video 777"}]}
    featurizer = Featurizer(found)
    assert featurizer.from_pieces(profiles(unseen)[0]).status["videos"] == "uninformative"
    # The same streamer six times is one streamer.
    assert not build_vocabulary(
        profiles(
            {"videos": [{"video_id": f"v{i}", "title": title} for i, title in enumerate(titles)]}
        )
    ).uninformative


def test_names_are_shared_by_chance():
    assert not build_vocabulary(profiles(*[{"name": "Anna"}] * 50)).uninformative


def test_spaces_are_those_of_the_profiles():
    contents = [
        {"avatar": {"vector": [1.0, 2.0], "space": "faces"}},
        {"avatar": {"vector": [1.0], "space": "a"}},
    ]
    spaces = build_vocabulary(profiles(*contents)).spaces
    assert [(s.name, s.width) for s in spaces] == [("a", 1), ("faces", 2)]


def test_one_space_has_one_width():
    contents = [{"avatar": {"vector": [1.0] * n, "space": "faces"}} for n in (2, 3)]
    with pytest.raises(DataError, match=r"'faces' has 2 numbers in one .* and 3 in another"):
        build_vocabulary(profiles(*contents))
