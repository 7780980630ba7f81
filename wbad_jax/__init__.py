"""Robust medical-image classifiers behind a differentiable wavelet denoiser.

Research software only; not a diagnostic device.
"""

__version__ = "0.1.0"
