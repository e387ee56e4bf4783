"""JSON that every reader takes: numbers that are none (NaN, infinity) are null."""

import json
import math
from typing import Any


def strict_json(content: Any, **how: Any) -> str:
    """``content`` as JSON text; ``how`` as ``json.dumps`` has it."""
    return json.dumps(_known(content), allow_nan=False, **how)


def _known(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _known(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_known(value) for value in content]
    return content
