"""Batch prediction: files of rows in, the same rows with predictions out, resumable, in one process or in several."""

from __future__ import annotations

from nlpmtl.file_prediction.driver import predict_files
from nlpmtl.file_prediction.progress import FileProgress, PredictedFiles

__all__ = ["FileProgress", "PredictedFiles", "predict_files"]
