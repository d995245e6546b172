"""Which files of a bundle tell whether it has to be looked at again."""

import shutil
from pathlib import Path

from service.features.models.bundles import BundleFolder


def test_files_of_a_bundle_change_with_any_of_them(bundle: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(bundle, tmp_path / "models" / "next")
    folder = BundleFolder(tmp_path / "models", None, None)
    before = folder.files("next")
    assert before
    assert folder.files("next") == before
    (copied / "more").write_bytes(b"")
    assert folder.files("next") != before


def test_what_lies_behind_a_linked_folder_is_looked_at_each_time(tmp_path: Path) -> None:
    (tmp_path / "towers").mkdir()
    (tmp_path / "models" / "next").mkdir(parents=True)
    (tmp_path / "models" / "next" / "towers").symlink_to(tmp_path / "towers")
    assert BundleFolder(tmp_path / "models", None, None).files("next") is None
