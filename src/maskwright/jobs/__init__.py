"""Torch-free work on many files: inspect, check, preview, convert, split, evaluate, predict,
synthesize.

Each is one function over a `core.Dataset` or a list of files; each takes `progress(done, total)`.
"""

from __future__ import annotations

from maskwright.jobs.check import Finding, check
from maskwright.jobs.convert import Conversion, convert
from maskwright.jobs.doctor import Check, examine
from maskwright.jobs.inspect import ClassStats, Progress, Stats, stats, thin_pixels
from maskwright.jobs.predict import PredictionSummary, find_inputs, predict_files
from maskwright.jobs.preview import contact_sheet
from maskwright.jobs.score import Find, answers_of, find_by, score, tasks_of
from maskwright.jobs.score_headline import score_figures
from maskwright.jobs.score_labels import LabelScorer, LabelScores
from maskwright.jobs.score_maps import MapScorer, MapScores
from maskwright.jobs.score_objects import ObjectScorer, ObjectScores
from maskwright.jobs.score_panoptic import SegmentScorer, SegmentScores
from maskwright.jobs.score_report import Around, score_page, write_score_report
from maskwright.jobs.score_task import Headline
from maskwright.jobs.scorer import Scorer, require_same_classes
from maskwright.jobs.scores import Scores, compare
from maskwright.jobs.split import Division, split_set
from maskwright.jobs.synthesize import SceneMaker, Synthesis, synthesize
from maskwright.jobs.training_check import TrainingCheck, check_for_training, count_truth
from maskwright.jobs.videos import VideoSummary, predict_video, video_names

__all__ = [
    "Around",
    "Check",
    "ClassStats",
    "Conversion",
    "Division",
    "Find",
    "Finding",
    "Headline",
    "LabelScorer",
    "LabelScores",
    "MapScorer",
    "MapScores",
    "ObjectScorer",
    "ObjectScores",
    "PredictionSummary",
    "Progress",
    "SceneMaker",
    "Scorer",
    "Scores",
    "SegmentScorer",
    "SegmentScores",
    "Stats",
    "Synthesis",
    "TrainingCheck",
    "VideoSummary",
    "answers_of",
    "check",
    "check_for_training",
    "compare",
    "contact_sheet",
    "convert",
    "count_truth",
    "examine",
    "find_by",
    "find_inputs",
    "predict_files",
    "predict_video",
    "require_same_classes",
    "score",
    "score_figures",
    "score_page",
    "split_set",
    "stats",
    "synthesize",
    "tasks_of",
    "thin_pixels",
    "video_names",
    "write_score_report",
]
