"""Quartiles of the statistics of real healthy thermograms: summary numbers only.

Of 95 frontal temperature matrices of healthy women in DMR-IR: Silva et al. (2014), A
new database for breast research with infrared image, J. Med. Imaging Health Inform.
4:92. The matrices were shrunk to 3 mm a pixel, assuming 0.7 mm for a pixel of the
original, which the database does not state. A marker on the skin was filled in first.
Each statistic is one of `wbad_jax.data.thermogram_statistics`.
"""

NUM_FRAMES = 95
MILLIMETRES_PER_PIXEL = 3.0
# First quartile, median, third quartile.
REAL_QUARTILES: dict[str, tuple[float, float, float]] = {
    "body_mean": (29.72, 30.23, 31.25),
    "body_sd": (1.123, 1.232, 1.364),
    "asymmetry": (0.1034, 0.1857, 0.345),
    "maximum": (33.74, 34.57, 35.48),
    "detail_sd_3mm": (0.07979, 0.09995, 0.1166),
    "detail_sd_6mm": (0.1908, 0.2225, 0.2606),
    "detail_sd_12mm": (0.3817, 0.4237, 0.4619),
    "detail_sd_24mm": (0.609, 0.6622, 0.7225),
    "log_slope_60_25mm": (-4.549, -4.002, -3.61),
    "log_slope_25_10mm": (-5.879, -5.316, -4.746),
    "haar_1_horizontal": (0.1206, 0.134, 0.1488),
    "haar_1_vertical": (0.1371, 0.148, 0.162),
    "haar_1_diagonal": (0.01973, 0.02296, 0.02584),
    "haar_2_horizontal": (0.4386, 0.4872, 0.5383),
    "haar_2_vertical": (0.4812, 0.5275, 0.5756),
    "haar_2_diagonal": (0.109, 0.1296, 0.1439),
    "haar_3_horizontal": (1.473, 1.596, 1.767),
    "haar_3_vertical": (1.505, 1.648, 1.846),
    "haar_3_diagonal": (0.5567, 0.6382, 0.6952),
}
