"""``twelve score TASK --from HARNESS LOG``: the official number of answers that another evaluation program logged.

    lmms_eval.py, vlmevalkit.py    the two harnesses' logs, and what they score an answer with
    tables.py                      xlsx, tsv and json tables
    answers.py, boxes.py           which example of the official files an answer is about; boxes in answers
    compare.py, shown.py           the official number beside the harness's, and why they differ

Which logs belong to a task, and why a harness's number is another one, is said by the task (``Task.harnesses``).
Formats: read in the packages lmms-eval 0.2.4, 0.3.5, 0.5.0 and 0.7.3 (EvolvingLMMs-Lab, loggers/evaluation_tracker.py,
evaluator.py, tasks/*/utils*.py) and ms-vlmeval 0.0.20 (ModelScope's package of open-compass/VLMEvalKit: smp/file.py,
inference.py, dataset/image_vqa.py, dataset/refcoco.py).
"""
