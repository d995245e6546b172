"""Errors of spaces: what a recommender hands over."""

from service.errors.base import RequestError


class SpaceNotFound(RequestError):
    """Nothing was handed over for this space."""

    status, code, title = 404, "space_not_found", "Unknown space"
    example = "there is no space 'als-64'; known: als-128"


class GenerationNotFound(RequestError):
    """The space has no such generation, or it is not kept any more."""

    status, code, title = 404, "generation_not_found", "Unknown generation"
    example = "the space 'als-64' has no generation '2026-11-26'; it has: 2026-11-25"


class GenerationExists(RequestError):
    """A generation never changes; hand over under another name, or delete that one first."""

    status, code, title = 409, "generation_exists", "The generation exists"
    example = "generation '2026-11-26' of 'als-64' is there already: choose another name"


class GenerationRefused(RequestError):
    """The generation failed checks, which `errors` names; an admin may promote it by `force`."""

    status, code, title = 409, "generation_refused", "The generation failed its checks"
    example = "known_ids: 48 % of the streamers are stored here, 60 % must be"


class GenerationInUse(RequestError):
    """The generation is served; promote another one first."""

    status, code, title = 409, "generation_in_use", "The generation is served"
    example = "generation '2026-11-26' of 'als-64' is served: promote another one first"


class NothingBefore(RequestError):
    """No generation was served before the one that is, or it is not kept any more."""

    status, code, title = 409, "nothing_before", "There is nothing to roll back to"
    example = "no generation of 'als-64' was served before '2026-11-26'"


class HandOverUnderWay(RequestError):
    """Another generation of the space is being received, or took the place of this promotion."""

    status, code, title = 409, "hand_over_under_way", "Another hand-over is under way"
    example = "another generation of 'als-64' is being received; try again when it is done"
