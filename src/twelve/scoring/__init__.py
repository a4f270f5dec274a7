"""Official metrics of anybody's predictions, in the official result formats: ``twelve score``.

No model is needed and torch is not imported. What a result file looks like and how it is measured stands with its
task (:meth:`twelve.tasks.base.Task.score`); here is what all of them share.
"""
