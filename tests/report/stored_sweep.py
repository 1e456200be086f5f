"""A sweep in a store, with distances on both sides of the threshold, and two points of every course."""

import numpy as np

from phasediag.observables.known import distance_observables
from phasediag.parameters import TRAINING
from phasediag.shared_parameters import WIDTH
from phasediag.storage.schema_arrow import measurements_schema, table, trials_schema
from phasediag.storage.store import Store
from synthetic_sweep import START, pack_name, trial_id

DECAYS, RATES, WIDTHS, REPLICATES = np.geomspace(0.01, 1, 6), np.geomspace(0.01, 0.1, 3), (5, 9), 4
ABSOLUTE, RELATIVE = 1e-3, 0.05
OBSERVABLES = ("permutation", "classes", "sign_flip", "rank")


def stored_sweep(folder):
    """Trials of 6 x 3 points at two widths, four replicates each; one diverged, one has not converged."""
    rng = np.random.default_rng(7)
    points = [(d, r, w, k) for w in WIDTHS for r in RATES for d in DECAYS for k in range(REPLICATES)]
    n, pack = len(points), pack_name(1)
    decay, rate, width, replicate = (list(each) for each in zip(*points, strict=True))
    status = ["ok"] * n
    status[5] = "diverged"
    scale = rng.uniform(0.5, 2, n)
    columns = {name: [None] * n for name in ("degree_of_symmetry", "neuron_count", "alive_count", "rank")}
    columns["degree_normalized"] = [None] * n
    rows = {
        name: [] for name in ("trial_id", "step", "observable", "max_degree", "degree", "scale", "distances")
    }
    for trial in range(n):
        for observable in OBSERVABLES:
            rule = distance_observables()[observable]
            length = width[trial] - (observable == "permutation")
            middle = 0.05 * (0.1 / decay[trial]) ** 0.7
            own = rng.lognormal(np.log(middle), 0.8, length).astype(np.float32)
            epsilon = np.array([max(ABSOLUTE, RELATIVE * scale[trial])])
            count = int(rule.count(own[None], epsilon, ABSOLUTE)[0])
            for step, degree, distances in ((0, 0, None), (100, count, own)):
                values = (trial_id(trial), step, observable, length, degree, scale[trial], distances)
                for name, value in zip(rows, values, strict=True):
                    rows[name].append(value)
            if status[trial] == "ok":
                columns[rule.column][trial] = length - count if rule.complement else count
                if observable == "permutation":
                    columns["degree_normalized"][trial] = count / length
    store = Store.at(folder)
    known = {
        "trial_id": [trial_id(i) for i in range(n)], "pack_id": [pack] * n, "replicate": replicate,
        "point_id": [f"{d:.6g} {r:.6g} {w}" for d, r, w, _ in points], "status": status,
        "weight_decay": decay, "learning_rate": rate, "width": width, "max_degree": [w - 1 for w in width],
        "steps_done": [100] * n, "converged": [i not in (8, 9, 10) for i in range(n)], "wall_s": [1.0] * n,
        "threshold_absolute": [ABSOLUTE] * n, "threshold_relative": [RELATIVE] * n,
        "measure_layer": ["hidden.1"] * n, "definitions": [2] * n, "started_at": [START] * n,
    }  # fmt: skip
    measured = {**rows, "pack_id": [pack] * len(rows["step"]), "layer": ["hidden.1"] * len(rows["step"])}
    store.write_fragment(
        pack, table(trials_schema((*TRAINING, WIDTH)), known | columns, n),
        table(measurements_schema(), measured, len(rows["step"])),
    )  # fmt: skip
    return store
