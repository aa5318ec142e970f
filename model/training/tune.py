"""`firstclick tune`: which settings of the towers suit a shop, by Optuna (Akiba et al. 2019) on validation.

Knows nothing of logs: `search` is given a function that trains with settings and says how good they are.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from model.training.fit import Epoch, FitSettings, FitWatch

TRIALS = 20


def search(
    score: Callable[[FitSettings, FitWatch], float],
    start: FitSettings,
    trials: int = TRIALS,
    storage: Path | None = None,
    study: str = "towers",
    say: Callable[[str], None] = lambda _: None,
) -> tuple[FitSettings, float]:
    """The best settings found, and their NDCG@10 on validation.

    Args:
        score: trains with the settings, tells the watch each epoch, and gives NDCG@10 on validation.
        start: tried first, so that what is found is never worse; what is not searched stays as it says.
        trials: how many in all, those in `storage` included.
        storage: a file that remembers the trials, so that a search goes on; None: none.
        study: the search's name there: one of another log or encoder must bear another.
        say: told of each trial.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # What goes wrong in a trial is raised.
    trying = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        storage=None if storage is None else f"sqlite:///{storage}",
        study_name=study,
        load_if_exists=True,
    )
    done = sum(each.state in (TrialState.COMPLETE, TrialState.PRUNED) for each in trying.trials)
    trying.sampler = optuna.samplers.TPESampler(seed=start.seed + done)  # Else who goes on tries the same again.
    if not done and not any(each.state == TrialState.WAITING for each in trying.trials):
        trying.enqueue_trial({name: getattr(start, name) for name in SPACE})

    def trial_of(trial: optuna.Trial) -> float:
        settings = replace(start, **{name: suggest(trial, name) for name, suggest in SPACE.items()})

        def pruned(epoch: Epoch) -> None:
            trial.report(epoch.ndcg, epoch.number)
            if trial.should_prune():
                raise optuna.TrialPruned

        return score(settings, FitWatch(on_epoch=pruned))

    def told(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        given_up = trial.state == TrialState.PRUNED
        outcome = "given up" if given_up else f"NDCG@10 {trial.value:.4f}"
        best = f", best {study.best_value:.4f}" if any(each.value is not None for each in study.trials) else ""
        say(f"trial {trial.number + 1}: {_told(trial.params)}: {outcome}{best}")

    trying.optimize(trial_of, n_trials=max(trials - done, 0), callbacks=[told])
    return replace(start, **trying.best_params), trying.best_value


SPACE: dict[str, Callable[[optuna.Trial, str], Any]] = {
    "dim": lambda trial, name: trial.suggest_categorical(name, [128, 192, 256, 384]),
    "epochs": lambda trial, name: trial.suggest_int(name, 3, 10),
    "learning_rate": lambda trial, name: trial.suggest_float(name, 5e-4, 8e-3, log=True),
    "dropout": lambda trial, name: trial.suggest_float(name, 0.0, 0.5),
    "text_scale": lambda trial, name: trial.suggest_float(name, 0.2, 2.0),
    "adjustment": lambda trial, name: trial.suggest_float(name, 0.0, 0.5),
    "cut": lambda trial, name: trial.suggest_float(name, 0.0, 0.5),
}
"""Setting -> what is tried."""


def _told(params: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in params.items())
