"""What a SageMaker image starts (``sagemaker_program``): the trial of the code that this file lies in.

Its arguments are not read: AWS's toolkit makes them from decoded hyperparameters.
"""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SOURCE = _HERE.parents[1]

if __name__ == "__main__":
    # this folder's modules are parts of a package, and the code is the bundle's, not an installed one
    sys.path[:] = [str(_SOURCE), *(path for path in sys.path if path != str(_HERE))]
    from sweepmaker.container import trial

    sys.exit(trial.main(_SOURCE.parent))
