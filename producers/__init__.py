"""What a training job or an operator calls to publish and to command."""

from modelcast.producers.commands import Commander
from modelcast.producers.outcomes import OutcomeReporter
from modelcast.producers.progress import Addition, PublishProgress
from modelcast.producers.publication import Publication, Published, Unannounced
from modelcast.producers.publish.publisher import Publisher
from modelcast.producers.rollouts import RolloutCommander
from modelcast.producers.step_timer import StepTimer

__all__ = [
    "Addition",
    "Commander",
    "OutcomeReporter",
    "Publication",
    "PublishProgress",
    "Published",
    "Publisher",
    "RolloutCommander",
    "StepTimer",
    "Unannounced",
    "accelerator",
    "acceptance",
    "artifact",
    "commands",
    "identity",
    "log_refusal",
    "outcomes",
    "planning",
    "rollouts",
    "wait",
]
