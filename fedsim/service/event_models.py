"""Events as they come over the wire: checked field by field, so that nothing a stranger sends reaches the store raw."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PlainSerializer,
    RootModel,
    WithJsonSchema,
    model_validator,
)

from fedsim.metrics.event_json import array_from_bytes
from fedsim.metrics.events import Evaluated, Event, Notice, RolledBack, RoundDone, RunEnded, RunStarted
from fedsim.service.tally import MOST_EVENTS

LATEST_S = 253_370_764_800
"""The first day of the year 9999: calendars go no further."""
MOST_CELLS = 2**40
"""Cells of an array, dimensions of length 0 left out: numpy overflows even where others are huge."""

RunId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="16 hexadecimal digits, as a rule")]
Round = Annotated[int, Field(ge=0, le=10**9)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(allow_inf_nan=False, ge=0, le=LATEST_S, description="Unix time")]
Word = Annotated[str, Field(max_length=64)]
Line = Annotated[str, Field(max_length=10_000)]
MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}(\.[^\x00-\x20\x7f]{1,120})?$")]

DEEPEST = 20
"""Levels of nesting in a summary."""

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _number(value: Any) -> Any:
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


Number = Annotated[
    float,
    Field(strict=True),
    BeforeValidator(_number),
    PlainSerializer(lambda value: value if math.isfinite(value) else str(value)),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(_NOT_FINITE)}]}),
]
"""A float; JSON has no name for those that are not finite, so that they come as text."""

Values = Annotated[dict[MetricName, Number], Field(max_length=2_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Array(_Strict):
    """An array: little-endian bytes in base64, C order."""

    dtype: Literal["<i8", "<i4", "<i2", "|i1", "<u8", "<u4", "<u2", "|u1", "<f8", "<f4", "|b1"]
    shape: Annotated[list[Count], Field(max_length=3)]
    data: str

    @model_validator(mode="after")
    def _whole(self) -> Array:
        if math.prod(max(1, length) for length in self.shape) > MOST_CELLS:
            raise ValueError(f"shape {self.shape} is too large")
        try:
            content = base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"data is not base64: {error}") from error
        if len(content) != math.prod(self.shape) * int(self.dtype[2:]):
            raise ValueError(f"data holds {len(content)} bytes, which is not shape {self.shape} of {self.dtype}")
        return self

    def read(self) -> Any:
        """Return the numpy array."""
        return array_from_bytes(self.dtype, list(self.shape), base64.b64decode(self.data))


Vectors = Annotated[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")], Array], Field(max_length=50)]


class _Event(_Strict):
    run: RunId
    wall_time: Seconds


class Started(_Event):
    """A run begins, or goes on after a resume."""

    event: Literal["RunStarted"]
    name: Line
    strategy: Word
    seed: Annotated[int, Field(ge=0, lt=2**128)]
    num_clients: Count
    rounds: Count
    scenario: Annotated[str, Field(max_length=32_000_000)] = ""
    scenario_hash: Line = ""
    schedule_hash: Line = ""
    versions: Annotated[dict[Word, Line], Field(max_length=100)] = Field(default_factory=dict)
    folder: Line = ""
    store: Line = ""

    def read(self) -> Event:
        """Return the event."""
        return RunStarted(**self.model_dump(exclude={"event"}))


class Done(_Event):
    """A training round is over."""

    event: Literal["RoundDone"]
    round: Round
    values: Values
    vectors: Vectors = Field(default_factory=dict)

    def read(self) -> Event:
        """Return the event."""
        vectors = {name: array.read() for name, array in self.vectors.items()}
        return RoundDone(run=self.run, round=self.round, values=self.values, vectors=vectors, wall_time=self.wall_time)


class Judged(_Event):
    """The model after a round was evaluated."""

    event: Literal["Evaluated"]
    round: Round
    values: Values
    vectors: Vectors = Field(default_factory=dict)

    def read(self) -> Event:
        """Return the event."""
        vectors = {name: array.read() for name, array in self.vectors.items()}
        return Evaluated(run=self.run, round=self.round, values=self.values, vectors=vectors, wall_time=self.wall_time)


class Noticed(_Event):
    """Something beyond the plan."""

    event: Literal["Notice"]
    round: Round
    kind: Line
    text: Annotated[str, Field(max_length=1_000_000)]
    client: Count | None = None
    host: Annotated[str, Field(max_length=200)] | None = None
    attempt: Round = 0

    def read(self) -> Event:
        """Return the event."""
        return Notice(**self.model_dump(exclude={"event"}))


class Voided(_Event):
    """Everything told of rounds beyond this one is void."""

    event: Literal["RolledBack"]
    round: Round

    def read(self) -> Event:
        """Return the event."""
        return RolledBack(run=self.run, round=self.round, wall_time=self.wall_time)


class Ended(_Event):
    """A run is over."""

    event: Literal["RunEnded"]
    status: Literal["completed", "stopped", "diverged", "interrupted", "failed"]
    summary: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _shallow(self) -> Ended:
        level: list[Any] = [self.summary]
        for _ in range(DEEPEST):
            level = [inner for item in level for inner in _inner(item)]
            if not level:
                return self
        raise ValueError(f"summary is nested deeper than {DEEPEST} levels")

    def read(self) -> Event:
        """Return the event."""
        return RunEnded(run=self.run, status=self.status, summary=self.summary, wall_time=self.wall_time)


def _inner(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


AnyEvent = Annotated[Started | Done | Judged | Noticed | Voided | Ended, Field(discriminator="event")]
"""What POST /api/events takes, one by one; the key `event` says which."""


class Told(RootModel[Annotated[list[AnyEvent], FailFast(), Field(max_length=MOST_EVENTS)]]):
    """Events in their order; the first that is malformed ends the reading."""
