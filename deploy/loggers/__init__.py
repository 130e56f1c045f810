"""The numbers of a run in TensorBoard, Weights & Biases, Trackio and MLflow: during the run and by `pope export`.

May import `dashboard` and the rooms below it.
"""
