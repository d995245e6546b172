"""What is sent and what comes back: the schemas of the API itself."""

from model_export.contract.streamer import Live, Media, StreamerContent, StreamerProfile, Video
from service.features.cold_start.schemas import ColdStartIn, ColdStartOut, NeighbourOut
from service.features.compare.schemas import ChannelOut, CompareIn, CompareOut, QuoteOut, SideIn
from service.features.dedup.schemas import (
    ClusterOut,
    DedupClustersOut,
    DedupFeedOut,
    DedupIn,
    MemberOut,
)
from service.features.jobs.schemas import JobOut, JobPage, ProgressOut
from service.features.operations.schemas import HealthOut
from service.features.similar.schemas import (
    ExportIn,
    ExportLineOut,
    ExportSummaryOut,
    HitOut,
    ReasonsOut,
    SameContentOut,
    SeedIn,
    SimilarIn,
    SimilarOut,
)
from service.features.streamers.schemas import (
    BulkLineOut,
    DeletedOut,
    EmbeddingOut,
    NearDuplicateOut,
    StreamerBody,
    StreamerOut,
    StreamerPage,
    WrittenOut,
)
from service.features.transfers.schemas import (
    ImportIn,
    ImportResultOut,
    RefusedLineOut,
    StreamerExportIn,
)
from service.http.schemas import ConditionIn, FieldProblem, FilterIn, Problem

__all__ = [
    "BulkLineOut",
    "ChannelOut",
    "ClusterOut",
    "ColdStartIn",
    "ColdStartOut",
    "CompareIn",
    "CompareOut",
    "ConditionIn",
    "DedupClustersOut",
    "DedupFeedOut",
    "DedupIn",
    "DeletedOut",
    "EmbeddingOut",
    "ExportIn",
    "ExportLineOut",
    "ExportSummaryOut",
    "FieldProblem",
    "FilterIn",
    "HealthOut",
    "HitOut",
    "ImportIn",
    "ImportResultOut",
    "JobOut",
    "JobPage",
    "Live",
    "Media",
    "MemberOut",
    "NearDuplicateOut",
    "NeighbourOut",
    "Problem",
    "ProgressOut",
    "QuoteOut",
    "ReasonsOut",
    "RefusedLineOut",
    "SameContentOut",
    "SeedIn",
    "SideIn",
    "SimilarIn",
    "SimilarOut",
    "StreamerBody",
    "StreamerContent",
    "StreamerExportIn",
    "StreamerOut",
    "StreamerPage",
    "StreamerProfile",
    "Video",
    "WrittenOut",
]
