"""What FastAPI alone takes to answer ten hits: the floor under every endpoint.

uvicorn tests.benchmarks.floor:app --no-access-log
"""

from fastapi import FastAPI
from pydantic import BaseModel


class Hit(BaseModel):
    """One of the ten."""

    streamer_id: str
    score: float
    rank: int


class Answer(BaseModel):
    """The typed response."""

    hits: list[Hit]
    complete: bool
    model_version: str
    index_sequence: int
    took_ms: float


app = FastAPI()


@app.get("/v1/streamers/{streamer_id}/similar")
async def similar(streamer_id: str, k: int = 10) -> Answer:
    """Ten hits, made anew."""
    hits = [Hit(streamer_id=f"{streamer_id}-{i}", score=0.5, rank=i) for i in range(1, k + 1)]
    return Answer(hits=hits, complete=True, model_version="floor", index_sequence=1, took_ms=0.5)
