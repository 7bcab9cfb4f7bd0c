"""Torch-free work on many files: inspect, check, preview, convert, split, evaluate, predict,
synthesize.

Each is one function over a `core.Dataset` or a list of files; each takes `progress(done, total)`.
"""

from __future__ import annotations

from maskwright.jobs.check import Finding, check
from maskwright.jobs.convert import Conversion, convert
from maskwright.jobs.doctor import Check, examine
from maskwright.jobs.evaluate import Evaluation, ImageScore, evaluate, require_same_classes
from maskwright.jobs.inspect import ClassStats, Progress, Stats, stats, thin_pixels
from maskwright.jobs.predict import PredictionSummary, find_inputs, predict_files
from maskwright.jobs.preview import contact_sheet
from maskwright.jobs.score import Find, Scores, compare, find_by, score
from maskwright.jobs.score_maps import MapScores
from maskwright.jobs.score_objects import ObjectScores
from maskwright.jobs.score_panoptic import SegmentScores
from maskwright.jobs.score_report import write_score_report
from maskwright.jobs.showcase import examples_of
from maskwright.jobs.split import Division, split_set
from maskwright.jobs.synthesize import SceneMaker, Synthesis, synthesize
from maskwright.jobs.training_check import TrainingCheck, check_for_training, count_truth
from maskwright.jobs.videos import VideoSummary, predict_video, video_names

__all__ = [
    "Check",
    "ClassStats",
    "Conversion",
    "Division",
    "Evaluation",
    "Find",
    "Finding",
    "ImageScore",
    "MapScores",
    "ObjectScores",
    "PredictionSummary",
    "Progress",
    "SceneMaker",
    "Scores",
    "SegmentScores",
    "Stats",
    "Synthesis",
    "TrainingCheck",
    "VideoSummary",
    "check",
    "check_for_training",
    "compare",
    "contact_sheet",
    "convert",
    "count_truth",
    "evaluate",
    "examine",
    "examples_of",
    "find_by",
    "find_inputs",
    "predict_files",
    "predict_video",
    "require_same_classes",
    "score",
    "split_set",
    "stats",
    "synthesize",
    "thin_pixels",
    "video_names",
    "write_score_report",
]
