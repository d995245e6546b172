"""Wires lists and records of outreach."""

from service.engine.work.lanes import Lanes
from service.features.lists.building import ListBuilder
from service.features.lists.saved import SavedLists
from service.features.lists.service import Lists
from service.features.outreach.service import Outreach
from service.features.similar.service import Similar
from service.settings import Settings
from service.store.duplicates import GroupStore
from service.store.redis.backup import ArchivedStore


def lists_of(
    store: ArchivedStore, similar: Similar, groups: GroupStore, lanes: Lanes, settings: Settings
) -> tuple[Lists, Outreach]:
    """Lists of one model, and the records of outreach that they leave out.

    Args:
        store: of streamers and of what is saved.
        similar: of the model.
        groups: of duplicates.
        lanes: where the work is done.
        settings: limits of questions.
    """
    outreach = Outreach(store, store.documents, lanes)
    builder = ListBuilder(
        similar.asking, similar.explainer, groups, lanes, settings.limits, similar.model_version
    )
    saved = SavedLists(store.documents)
    return Lists(builder, saved, outreach, store, lanes), outreach
