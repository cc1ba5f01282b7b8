"""The graph: everything that a recipe or an experiment makes, as nodes that know what they need and when they are done.

A node reads artefacts, makes one or more, and has a fingerprint over all that decides their bytes. There is one ledger
for every kind of node: the completion records in the artefacts themselves (`runner.ledger`). What is complete there is
never computed again, whichever run of the workspace finished it, unless it is found damaged when it is read.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tamis.base.events import Event
from tamis.runner.engine import Engine
from tamis.store.workspace import Workspace

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a node works with: the workspace, the engine for per-document work, the number of cores it may use, and
    whom to tell what happens."""

    workspace: Workspace
    engine: Engine
    num_workers: int
    on_event: OnEvent
    verified: set[str] = field(default_factory=set)
    """Stored shards that a worker compared with their digests in this execution: none is compared twice."""

    def note(self, text: str) -> None:
        """Tell the user one line."""
        self.on_event(Event(kind="note", fields={"text": text}))


class Node(ABC):
    """One piece of work of a graph. `label` names it for the user, `inputs` are done before it starts."""

    kind: ClassVar[str]
    own_process: ClassVar[bool] = False
    """Whether it runs in a process of its own, beside others of its kind: trainings and evaluations do."""

    def __init__(self, run_name: str, what: str, inputs: Sequence["Node"]) -> None:
        """`run_name`: the run that it belongs to, '' for none; `what` it does."""
        self.run_name, self.inputs = run_name, tuple(inputs)
        self.label = f"{run_name}: {what}" if run_name else what

    @abstractmethod
    def artefacts(self, workspace: Workspace) -> list[str]:
        """Names of the artefacts it makes; empty while they depend on the content of inputs that are not finished."""

    @abstractmethod
    def is_done(self, workspace: Workspace) -> bool:
        """What the ledger says. Asked only when all inputs are done."""

    def check(self, workspace: Workspace) -> None:  # noqa: B027 - most kinds of work have nothing that a run forbids
        """Asked of every node that is done, also when another run made it. Raises BudgetError or DataError where what
        was made is not what this run allows."""

    def verify_inputs(self, workspace: Workspace) -> None:  # noqa: B027 - what workers read they verify themselves
        """Compare the stored files that `run` reads itself with the ledger. Raises DamagedError."""

    @abstractmethod
    def run(self, context: Context) -> None:
        """Do what is not done yet; afterwards `is_done` holds. Raises DamagedError where what it needs is damaged, and
        any TamisError."""


def in_order(targets: Iterable[Node]) -> list[Node]:
    """`targets` and all that they need, each once, inputs first, else in the order given."""
    ordered: dict[int, Node] = {}

    def visit(node: Node) -> None:
        if id(node) not in ordered:
            for other in node.inputs:
                visit(other)
            ordered.setdefault(id(node), node)

    for target in targets:
        visit(target)
    return list(ordered.values())


def describe(targets: Iterable[Node], workspace: Workspace) -> list[dict[str, Any]]:
    """The graph as plain data for the report: of every node its label, kind, artefacts, whether it is done, and the
    labels of its inputs. The ledger is asked once for each node, and only when all its inputs are done."""
    done: set[int] = set()
    described = []
    for node in in_order(targets):
        ready = all(id(other) in done for other in node.inputs)
        if ready and node.is_done(workspace):
            done.add(id(node))
        described.append({
            "label": node.label, "kind": node.kind, "artefacts": node.artefacts(workspace) if ready else [],
            "done": id(node) in done, "inputs": [other.label for other in node.inputs],
        })  # fmt: skip
    return described
