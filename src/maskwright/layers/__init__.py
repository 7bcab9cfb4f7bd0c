"""Torch blocks with two or more users; each file names its source."""

from __future__ import annotations

from maskwright.layers.aspp import ASPP
from maskwright.layers.attention import attend, attend_to_channels
from maskwright.layers.batch_statistics import SyncedBatchStatistics
from maskwright.layers.box_offsets import decode_boxes, encode_boxes
from maskwright.layers.context import AveragePooling, MultiScaleDilation
from maskwright.layers.conv import ConvNormAct
from maskwright.layers.drop_path import DropPath
from maskwright.layers.enlarge import enlarge
from maskwright.layers.feature_pyramid import FeaturePyramid
from maskwright.layers.head import PixelClassifier
from maskwright.layers.initialise import initialise, initialise_scores
from maskwright.layers.pyramid import PyramidPooling
from maskwright.layers.reflect import reflect_pad
from maskwright.layers.residual import BasicBlock, Bottleneck
from maskwright.layers.separable import SeparableConvNormAct
from maskwright.layers.suppression import best, kept, kept_by_class, rows_at
from maskwright.layers.upsample import bilinear_upsampling, enlarge_and_crop

__all__ = [
    "ASPP",
    "AveragePooling",
    "BasicBlock",
    "Bottleneck",
    "ConvNormAct",
    "DropPath",
    "FeaturePyramid",
    "MultiScaleDilation",
    "PixelClassifier",
    "PyramidPooling",
    "SeparableConvNormAct",
    "SyncedBatchStatistics",
    "attend",
    "attend_to_channels",
    "best",
    "bilinear_upsampling",
    "decode_boxes",
    "encode_boxes",
    "enlarge",
    "enlarge_and_crop",
    "initialise",
    "initialise_scores",
    "kept",
    "kept_by_class",
    "reflect_pad",
    "rows_at",
]
