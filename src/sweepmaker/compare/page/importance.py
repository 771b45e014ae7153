"""How much each hyperparameter mattered for the objective, by Optuna's evaluators (extra: compare)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

FEWEST = 5  # runs; below it any answer is chance
_FOREST_UP_TO = 300  # runs; a forest over more takes seconds


def importance(
    params: Sequence[Mapping[str, str | float]], values: Sequence[float], mode: str, log: set[str]
) -> dict[str, Any]:
    """Shares that sum up to 1, largest first.

    fANOVA (Hutter, Hoos and Leyton-Brown, 2014) up to 300 runs; PED-ANOVA (Watanabe, Bansal and
    Hutter, 2023) beyond, which looks at what tells the best tenth of the runs from the others.

    Args:
        params: of each run, the same keys in all: numbers, or text for a choice.
        values: the runs' objectives.
        mode: ``max`` or ``min``.
        log: keys whose scale is logarithmic.

    Returns:
        ``{"shares": {key: share}, "method": ..., "runs": ...}``; without shares ``note`` says why.
    """
    keys = sorted({key for one in params for key in one if len({other.get(key) for other in params}) > 1})
    if len(values) < FEWEST or not keys or len(set(values)) < 2:
        return {"note": f"at least {FEWEST} runs with a value, and something that differs, are needed"}
    try:
        import optuna
    except ImportError:
        return {"note": "needs Optuna: pip install 'sweepmaker[compare]'"}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of experimental parts
        study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
        space = {key: _distribution(optuna, [one[key] for one in params], key in log) for key in keys}
        study.add_trials(
            [
                optuna.create_trial(params={key: one[key] for key in keys}, distributions=space, value=value)
                for one, value in zip(params, values, strict=True)
            ]
        )
        forest = len(values) <= _FOREST_UP_TO
        evaluator: Any = (
            optuna.importance.FanovaImportanceEvaluator(seed=0)
            if forest
            else optuna.importance.PedAnovaImportanceEvaluator()
        )
        try:
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except (RuntimeError, ValueError) as error:  # too little variance to say anything
            return {"note": str(error)}
    method = "fANOVA" if forest else "PED-ANOVA"
    return {"shares": dict(shares), "method": method, "runs": len(values)}


def _distribution(optuna: Any, values: Sequence[str | float], log: bool) -> Any:
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) == len(values):
        return optuna.distributions.FloatDistribution(
            min(numbers), max(numbers), log=log and min(numbers) > 0
        )
    return optuna.distributions.CategoricalDistribution(sorted({str(value) for value in values}))
