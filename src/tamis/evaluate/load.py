"""Opens a checkpoint as a language model. This is the only place that chooses the library that computes it.

It is a module of its own because it imports the implementations, which import the interface in `model`.
"""

from tamis.base.errors import ConfigError
from tamis.evaluate.model import LanguageModel
from tamis.store.atomic import Place


def load_model(checkpoint: Place) -> LanguageModel:
    """Open a checkpoint folder that `tamis train` wrote, or the newest one of a training folder, local or remote.

    Raises ConfigError when there is no checkpoint or PyTorch is not installed.
    """
    try:
        from tamis.evaluate.torch_model import CheckpointModel
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ConfigError("evaluating a checkpoint needs PyTorch: pip install 'tamis[train]'") from None
    return CheckpointModel(checkpoint)
