"""A trained model as one function: the map as it was imported and its tracer in; score, probability and decision out.

Everything that `polarmap predict` does to an exam stands here once more as torch operations, so that it can be exported
as one graph. These are scaling and resampling (`orchestrator.cohort.images`), the members and their average
(`orchestrator.statistics.members`), calibration and threshold. The last is the distance from the development maps
(`orchestrator.statistics.map_distances`). Tests hold the two together on the same exams.

An exam that may not be answered is refused inside the graph, too. A graph cannot raise an error, so its score is not a
number and its decision is -1.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from torch import Tensor, nn

from mpi_model.errors import WeightsError
from mpi_model.maps import FULL_SCALE
from mpi_model.network import Architecture, TracerNetwork, architecture_in
from mpi_model.vocabulary import PHASES_OF, TRACERS, Inputs

_SEGMENTS: Final = 17
WEIGHTS: Final = "model.safetensors"
BUNDLE_WEIGHTS: Final = "models/model.pt"
"""Where MONAI wants them."""
_MOST_MEMBERS: Final = 1000
_LARGEST_SIDE: Final = 4096
_LEVELS: Final = 2**24
"""Steps between 0 and 1 during resampling; sums of them are exact in float64."""
_LARGEST_ODDS: Final = 36.7
"""Log odds of the probabilities that `orchestrator.statistics.members` moves away from 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """All that decides a pipeline's shape; with the weights, all that an exported model needs."""

    inputs: Inputs
    size: int
    """Pixels a side that the networks read; maps of other sizes are resampled."""
    members: tuple[Architecture, ...]

    @property
    def phases(self) -> int:
        """Maps P of an exam."""
        return len(PHASES_OF[self.inputs])

    @property
    def channels(self) -> int:
        """Image channels C."""
        return self.members[0].image_channels

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "PipelineConfig":
        """From plain JSON values, which anybody may have written.

        Raises:
            WeightsError: They are not a configuration.
        """
        read: tuple[Any, ...] = tuple(content.get(name) for name in ("inputs", "size", "members"))
        inputs, size, members = read
        if (
            inputs not in PHASES_OF
            or not (isinstance(members, list) and 0 < len(members) <= _MOST_MEMBERS)
            or not (type(size) is int and 1 <= size <= _LARGEST_SIDE)
        ):
            raise WeightsError("config.json: no usable inputs, size and members; restore the exported folder")
        found = tuple(architecture_in(one) for one in members)
        # One tensor goes through all members.
        if any((one.inputs, one.image_channels) != (inputs, found[0].image_channels) for one in found):
            raise WeightsError("config.json: the members do not read the same maps; restore the exported folder")
        return cls(inputs=inputs, size=size, members=found)


class Pipeline(nn.Module):
    """The members of a model with everything around them; tables are by the tracer's number, T tracers."""

    slope: Tensor
    """`[M, T]`, calibration by member."""
    intercept: Tensor
    """`[M, T]`."""
    threshold: Tensor
    """`[T]`, a probability; not a number for a tracer that the networks have never met."""
    points: Tensor
    """`[17, size * size]`, how many of a pixel's points lie in a segment."""
    centre: Tensor
    """`[T, 17 P]`, medians of the development maps' segment means."""
    per_scale: Tensor
    """`[T, 17 P]`, one over their scale; 0 for a segment that is constant."""
    precision: Tensor
    """`[T, 17 P, 17 P]`, inverse of their shrunken correlation."""
    limit: Tensor
    """`[T]`, the distance beyond which an exam is outside; not a number where it is not known."""

    def __init__(self, config: PipelineConfig, networks: Sequence[TracerNetwork] | None = None) -> None:
        """Put the members together; tables are empty until `load_state_dict` or `fill`.

        Args:
            config: The shapes.
            networks: Trained members; without them the weights are drawn, to be replaced by `load_state_dict`.
        """
        super().__init__()
        self.config = config
        draw = torch.Generator().manual_seed(0)
        self.members = nn.ModuleList(networks or [TracerNetwork(one, draw) for one in config.members])
        members, tracers, summaries = len(self.members), len(TRACERS), _SEGMENTS * config.phases
        for name, shape in {
            "slope": (members, tracers),
            "intercept": (members, tracers),
            "threshold": (tracers,),
            "points": (_SEGMENTS, config.size**2),
            "centre": (tracers, summaries),
            "per_scale": (tracers, summaries),
            "precision": (tracers, summaries, summaries),
            "limit": (tracers,),
        }.items():
            # float64, as the statistics that these numbers come from; a tracer without an entry is not a number.
            self.register_buffer(name, torch.full(shape, torch.nan, dtype=torch.float64))
        self.eval()

    def fill(self, **tables: Tensor) -> "Pipeline":
        """Set tables by name; the shapes must agree."""
        for name, values in tables.items():
            getattr(self, name).copy_(values)
        return self

    def forward(self, maps: Tensor, tracer: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Judge exams.

        Args:
            maps: `[B, P, C, H, W]`, pixels as they were imported, phases in the order of `PHASES_OF`. A map of uint8 is
                a picture and is divided by 255. Any other type holds counts, and each map is divided by its own
                maximum.
            tracer: `[B]`, int64 indices into `TRACERS`.

        Returns:
            `[B]` each: score (log odds, mean over members), probability, decision (1 positive, 0 negative, -1 refused),
            distance and outside. The distance is that from the development maps, as a multiple of the one that counts
            as outside. Outside is 1, 0, or -1 where it is not known.
        """
        # Clamped, because a graph elsewhere may take -1 for the last tracer; the mask refuses it.
        known = tracer.clamp(0, len(TRACERS) - 1)
        stored, usable = _stored_maps(maps, self.config.size)
        threshold = self.threshold.index_select(0, known)
        answered = usable & (known == tracer) & ~threshold.isnan()
        images = stored.to(torch.float32) / FULL_SCALE
        scores = torch.stack([member(images, known) for member in self.members]).to(torch.float64)
        odds = self.slope.index_select(1, known) * scores + self.intercept.index_select(1, known)
        probability = odds.clamp(-_LARGEST_ODDS, _LARGEST_ODDS).mean(0).sigmoid()
        distance = torch.where(answered, self._distances(stored, known), torch.nan)
        return (
            torch.where(answered, scores.mean(0), torch.nan),
            torch.where(answered, probability, torch.nan),
            torch.where(answered, (probability >= threshold).to(torch.int64), -1),
            distance,
            torch.where(distance.isnan(), -1, (distance > 1).to(torch.int64)),
        )

    def _distances(self, stored: Tensor, tracer: Tensor) -> Tensor:
        """Mahalanobis distances of the segments' means, as multiples of the limit: `[B]`."""
        sums = stored.mean(2).flatten(2) @ self.points.t()
        means = (sums / (self.points.sum(1) * FULL_SCALE)).flatten(1)
        apart = (means - self.centre.index_select(0, tracer)) * self.per_scale.index_select(0, tracer)
        along = (self.precision.index_select(0, tracer) @ apart.unsqueeze(2)).squeeze(2)
        return (apart * along).sum(1).clamp(min=0).sqrt() / self.limit.index_select(0, tracer)


def _stored_maps(maps: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Scale and resample maps as `orchestrator.cohort.images` does, to the last digit.

    Args:
        maps: `[B, P, C, H, W]`, pixels as they were imported.
        size: Pixels a side of the result.

    Returns:
        `[B, P, C, size, size]`, float64 with whole numbers of 0 to 65535, and `[B]`, whether every map of the exam is
        one: finite counts that are not negative and not all the same.
    """
    counts = maps.to(torch.float64)
    largest, smallest = counts.amax((-2, -1)), counts.amin((-2, -1))
    # Not a number compares as false, whatever `amax` makes of it.
    usable = ((largest > smallest) & (smallest >= 0)).any(-1).all(-1) & ((counts >= 0) & (counts < torch.inf)).all(
        (-4, -3, -2, -1)
    )
    # A picture has 8 bits and was scaled for display; everything else holds counts.
    peak = 255.0 if maps.dtype == torch.uint8 else counts.amax((-3, -2, -1), keepdim=True)
    levels = (counts / peak * _LEVELS).round()
    height, width = (torch.full((), length, dtype=torch.float64) for length in maps.shape[-2:])
    side = torch.maximum(height, width)
    down, across = _weights(maps.shape[-2], side, size), _weights(maps.shape[-1], side, size)
    total = torch.where(side >= size, side, 2 * size)
    sums = down @ levels @ across.t()
    return (sums / (total * total * _LEVELS) * FULL_SCALE).round(), usable


def _weights(length: int, side: Tensor, size: int) -> Tensor:
    """How much each pixel of one axis counts for each pixel after resampling.

    Area averaging to fewer pixels, linear interpolation to more; whole numbers, so that sums are exact. The axis is
    centred on `side` pixels, those beyond it being zeros that need no column.

    Args:
        length: Pixels before, L.
        side: Pixels of the square that the map is centred on, float64 without an axis.
        size: Pixels after.

    Returns:
        `[size, L]`, float64.
    """
    before = torch.arange(length, dtype=torch.float64) + ((side - length) / 2).floor()
    after = torch.arange(size, dtype=torch.float64).unsqueeze(1)
    overlap = torch.minimum((after + 1) * side, (before + 1) * size) - torch.maximum(after * side, before * size)
    # The centre of a new pixel, in old pixels times 2 * size, which makes it a whole number.
    position = (2 * after + 1) * side - size
    left = (position / (2 * size)).floor()
    fraction = position - left * 2 * size
    first, second = (torch.minimum(place.clamp(min=0), side - 1) for place in (left, left + 1))
    linear = torch.where(before == first, 2 * size - fraction, 0) + torch.where(before == second, fraction, 0)
    return torch.where(side >= size, overlap.clamp(min=0), linear)


def digest_of(config: Mapping[str, Any]) -> str:
    """The SHA-256 of a `config.json` without its digest."""
    content = {name: value for name, value in config.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_as_written(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is the one that was exported, as far as its own digest tells."""
    return config.get("digest") == digest_of(config)


def load_pipeline(folder: str | Path) -> Pipeline:
    """The pipeline of an exported folder, in evaluation mode.

    Args:
        folder: It holds `config.json` and the weights.

    Raises:
        WeightsError: A file is damaged or missing, or they do not belong together.
    """
    try:
        content = json.loads((Path(folder) / "config.json").read_bytes())
        if not is_as_written(content):
            raise WeightsError("config.json is not what was exported; restore the folder, or export it again")
        pipeline = Pipeline(PipelineConfig.of(content))
        if (Path(folder) / BUNDLE_WEIGHTS).is_file():
            state = torch.load(Path(folder) / BUNDLE_WEIGHTS, weights_only=True)
        else:
            state = safetensors.torch.load_file(Path(folder) / WEIGHTS)
        pipeline.load_state_dict(state)
    except (WeightsError, MemoryError):
        raise
    # `weights_only` refuses anything that is no tensor with an UnpicklingError, which has no common root with these.
    except Exception as error:
        raise WeightsError(
            f"the exported model is damaged or incomplete ({type(error).__name__}); restore the folder, or export it "
            "again"
        ) from error
    return pipeline.requires_grad_(False)
