"""The schema of every configuration key. Hydra composes into it; nothing else defines a key.

Money is in US dollars, time in seconds, memory in bytes unless the name says otherwise. ``None`` means
"decide for me" where a default exists, and "no limit" for budgets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "BudgetConfig",
    "ClusterConfig",
    "Config",
    "ExecuteConfig",
    "GenerateConfig",
    "HardwareConfig",
    "IsolationConfig",
    "ModelConfig",
    "PriceConfig",
    "PromptConfig",
    "RatesConfig",
    "RehearsalConfig",
    "RunConfig",
    "SuiteConfig",
    "SystemConfig",
    "TrackingConfig",
]


@dataclass
class PriceConfig:
    """Dollars per million tokens, where genai-prices does not know the model."""

    input_per_mtok: float = 0.0
    output_per_mtok: float = 0.0
    cache_read_per_mtok: float = 0.0
    cache_write_per_mtok: float = 0.0


@dataclass
class ModelConfig:
    """Group ``model``."""

    name: str = "???"
    kind: str = "anthropic"
    """``anthropic``, ``rehearsal``, ``samples`` or ``local`` (any other server of the Messages API)."""
    id: str | None = None
    """The API's model id; for ``rehearsal`` the model that it stands in for."""
    max_tokens: int | None = None
    """None: the suite's default."""
    effort: str | None = None
    thinking: str | None = None
    base_url: str | None = None
    path: str | None = None
    """``samples``: the JSONL file."""
    key_file: str | None = None
    """A file on the generating node that holds the API key; None: ANTHROPIC_API_KEY."""
    price: PriceConfig | None = None
    usd_per_gpu_hour: float | None = None
    """``local``: replies are priced at GPU seconds times this instead of tokens."""
    slots: int | None = None
    """``local``: requests that the server works on at once."""


@dataclass
class SystemConfig:
    """Group ``system``."""

    name: str = "???"


@dataclass
class SuiteConfig:
    """Group ``suite``."""

    name: str = "???"
    path: str | None = None
    fixes: bool = False
    """Apply the published corrections to the suite's own tests."""
    max_tokens: int | None = None
    dtype: str | None = None
    """``gpu`` only: fp64, fp32, bf16 or fp16."""
    dialect: str | None = None
    """``gpu`` only: torch, cupy, triton or cuda; cudf with ``execute_only``, where cuDF is installed."""
    level: int | None = None
    """``gpu`` only: 1, 2 or 3; None for all."""
    problems: list[str] | None = None
    """Only these ids of this suite; the root key ``problems`` narrows further."""


@dataclass
class PromptConfig:
    """Group ``prompt``: the texts that frame a problem, hashed into the plan.

    ``{processor}`` in any of them is what programs run on: ``card`` or ``CPU``.
    """

    name: str = "???"
    system: str = ""
    first: str = "{prompt}"
    """Template of the first user message; ``{prompt}``, ``{entry_point}``, ``{dialect}``, ``{hardware}``."""
    repair: str = "{feedback}"
    """Template of a repair message; ``{feedback}``."""
    cache: bool = False
    """Mark the system prompt with ``cache_control``."""


@dataclass
class LimitsConfig:
    """Overrides of a suite's own limits; None keeps the suite's."""

    cpu_s: float | None = None
    """Of programs of the GPU suite only what they use before they are timed."""
    wall_s: float | None = None
    memory_bytes: int | None = None
    output_bytes: int | None = None


@dataclass
class ExecuteConfig:
    """How programs are run."""

    device: str = "auto"
    """``cpu``, ``gpu`` or ``auto`` (what the suite and hardware ask for)."""
    without_gpu: str = "refuse"
    """Where a cell asks for a GPU and there is none: ``refuse`` the run, or ``cpu``: run there what a CPU can."""
    slots: int | None = None
    """Execution actors; None: one a CPU core, or one a GPU."""
    spares: int = 2
    """GPU: candidates kept armed with a context; one at most where less than 10 GiB of card memory may be used."""
    tools: list[str] = field(default_factory=list)
    """GPU: what looks at a program besides, for feedback only, after verdict and time: ``sanitizer``
    (compute-sanitizer) and ``ncu``."""
    attempts: int = 3
    """Tries on different actors before a step that kills its actor is ``infrastructure``."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)


@dataclass
class GenerateConfig:
    """How replies are bought."""

    mode: str = "messages"
    """``messages`` or ``batch`` (half price, slower)."""
    actors: int | None = None
    """None: enough for ``in_flight`` at 200 requests each."""
    in_flight: int = 100
    """Most requests in flight over the whole run."""
    deadline_s: float = 600.0
    """For one request."""
    retries: int = 8
    """For one step, after its first try."""
    run_retries: int = 10000
    """For the whole run."""
    stream: bool = True
    cancel_batches: bool = False
    """On Ctrl-C without a terminal: cancel open batches at the provider."""
    batch_poll_s: float = 30.0


@dataclass
class IsolationConfig:
    """How strictly candidates must be confined."""

    require: str = "partial"
    """``full``, ``partial`` (at least Landlock or namespaces, with seccomp) or ``none``."""


@dataclass
class BudgetConfig:
    """Caps in dollars of API cost; None: no cap."""

    usd: float | None = 10.0
    cell_usd: float | None = None
    trial_usd: float | None = None


@dataclass
class ClusterConfig:
    """Group ``cluster``."""

    name: str = "???"
    address: str | None = None
    """None: start Ray here; ``auto`` or an address: join a running cluster."""
    insecure: bool = False
    """Allow a cluster without token authentication."""
    num_cpus: int | None = None
    """Local Ray only; None: all cores."""
    autoscales: bool = False
    """The cluster at ``address`` adds nodes when slots are asked for: wait for them instead of refusing."""
    ship: bool = True
    """Give the driver's own sources to the nodes at ``address``; False: they run what is installed there."""


@dataclass
class HardwareConfig:
    """Group ``hardware``: a class of execution nodes, what it can do and what it costs."""

    name: str = "???"
    device: str = "cpu"
    labels: dict[str, str] = field(default_factory=dict)
    """Ray node labels that a node of this class carries."""
    memory_bytes: int | None = None
    """Card memory that is enforced; None: all there is."""
    purchase_usd: float | None = None
    resale_usd: float | None = None
    rent_usd_per_hour: float | None = None
    power_w: float | None = None
    """Board power under load, for the energy share of an owned card."""
    source: str | None = None
    """Where price and power come from, with a date."""


@dataclass
class RatesConfig:
    """Group ``rates``: assumptions that turn hardware into dollars."""

    name: str = "???"
    mode: str = "auto"
    """``rented``, ``owned`` or ``auto`` (rented where a rate is known)."""
    useful_years: float = 3.0
    utilisation: float = 0.25
    """Share of its useful life that an owned card works."""
    usd_per_kwh: float = 0.15
    problems_per_month: float = 1000.0


@dataclass
class FaultsConfig:
    """Shares (0..1) of requests that the rehearsal server spoils."""

    rate_limited: float = 0.0
    overloaded: float = 0.0
    server_error: float = 0.0
    dropped: float = 0.0
    stalled: float = 0.0


@dataclass
class ServerLimitsConfig:
    """Token buckets of the rehearsal server; None: no limit."""

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None


@dataclass
class RehearsalConfig:
    """The stand-in server."""

    seed: int | None = None
    """None: the run's seed."""
    broken_share: float = 0.2
    """Share of first answers that are wrong in some realistic way."""
    mend_share: float = 0.6
    """Chance that an answer to feedback is right."""
    latency_low_s: float = 0.05
    latency_high_s: float = 0.4
    faults: FaultsConfig = field(default_factory=FaultsConfig)
    limits: ServerLimitsConfig = field(default_factory=ServerLimitsConfig)
    log: str | None = None
    """File that gets a line for each request admitted and each reply sent; several runs add to one file."""


@dataclass
class TrackingConfig:
    """Where results are tracked."""

    uri: str | None = None
    """None: ``sqlite:///<cwd>/mlflow.db``."""
    experiment: str | None = None
    """None: the sweep's name."""
    enabled: bool = True
    traces: int = 200
    """Most traces logged for one run: failures first, then a sample."""


@dataclass
class RunConfig:
    """Where files go."""

    dir: str | None = None
    """None: ``runs/<sweep>-<time>``."""
    results_uri: str | None = None
    """Any pyarrow filesystem URI, of a place without tables of another run; None: ``run.dir``."""


@dataclass
class Config:
    """The root."""

    sweep: str | None = None
    """Name of the chosen sweep, set by its file."""
    axes: dict[str, list[Any]] = field(default_factory=dict)
    model: ModelConfig = field(default_factory=ModelConfig)
    system: SystemConfig = field(default_factory=SystemConfig)
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    rates: RatesConfig = field(default_factory=RatesConfig)
    execute: ExecuteConfig = field(default_factory=ExecuteConfig)
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    isolation: IsolationConfig = field(default_factory=IsolationConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    rehearsal: RehearsalConfig = field(default_factory=RehearsalConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    run: RunConfig = field(default_factory=RunConfig)
    samples: int | None = 1
    """Independent tries a problem; None with ``model=samples``: what the file holds."""
    turns: int = 3
    """Most generate and execute rounds of a hybrid trial."""
    feedback: str = "public"
    """``public``, or ``oracle``: an upper bound, marked in every table."""
    seed: int = 0
    limit: int | None = None
    """Only the first so many problems."""
    problems: list[str] | None = None
    """Only these ids."""
    plan: bool = False
    """Print the plan with its cost and stop."""
    preflight: str = "on"
    """``on``, ``only`` or ``off``."""
    resume: str | None = None
    """A run folder to continue."""
    regrade: str | None = None
    """A run folder whose programs are judged anew."""
    cache: str = "off"
    """``off``, ``read``, ``write`` or ``readwrite``: replies shared across runs."""
    cache_path: str | None = None
    """None: ``<cwd>/.cache/replies.sqlite``."""
    display: str = "auto"
    """``auto``, ``rich`` or ``plain``."""
