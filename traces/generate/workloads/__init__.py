"""One file per workload."""

from ..workload import Workload
from .agent import Agent
from .chat import Chat
from .doc_qa import DocQa
from .lengths import IndependentLengths
from .mmlu_pro import MmluPro
from .mmmu_pro import MmmuPro
from .rag import Rag
from .reasoning import Reasoning
from .vlm import Vlm

_ALL = (Chat, Agent, Rag, DocQa, MmluPro, MmmuPro, Reasoning, Vlm, IndependentLengths)

WORKLOADS: dict[str, type[Workload]] = {kind.NAME: kind for kind in _ALL}
"""Workloads by name."""
