"""What `polarmap import dicom-sa` makes of analytic left ventricles: the table of errors of docs/importing.md.

    python -m validation.short_axis

Every shell is sampled within the limits that the importer proposes; nobody corrects them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from orchestrator.importers.limits import proposed_limits
from orchestrator.importers.short_axis import Sampling, disc_image, polar_samples
from validation.shells import Defect, Shell, apex_of, defect_extent, measured_defect, shell_volume

DEFECT: Final = Defect(angle=300, width=90, inner=0.3, outer=0.9, depth=0.7)
PLAIN: Final = Shell(defect=DEFECT)
SHELLS: Final[Mapping[str, Shell]] = {
    "technetium, 12 mm": PLAIN,
    "no noise": replace(PLAIN, peak=0),
    "thallium, 15 mm, 80 counts": replace(PLAIN, fwhm=15, peak=80),
    "CZT, 8 mm": replace(PLAIN, fwhm=8),
    "off-centre by 12 and 15 mm": replace(PLAIN, offset=(12, -15)),
    "axis tilted by 8° and 6°": replace(PLAIN, tilt=(8, -6)),
    "voxels 4.8 × 6.4 × 6.4 mm": replace(PLAIN, spacing=(4.8, 6.4, 6.4), shape=(32, 40, 40)),
    "voxels 3.3 mm": replace(PLAIN, spacing=(3.3, 3.3, 3.3), shape=(48, 64, 64)),
    "small heart": replace(PLAIN, radius=21, length=64),
    "large heart": replace(PLAIN, radius=36, length=100),
    "half an ellipsoid": replace(PLAIN, ellipsoid=True),
    "liver as hot as the wall": replace(PLAIN, liver=1.0),
    "anterior, narrow": replace(PLAIN, defect=Defect(angle=90, width=50, inner=0.35, outer=0.85, depth=0.8)),
    "septal, wide": replace(PLAIN, defect=Defect(angle=180, width=140, inner=0.3, outer=1.0, depth=0.6)),
    "inferior, mild": replace(PLAIN, defect=Defect(angle=270, width=80, inner=0.4, outer=0.95, depth=0.4)),
    "lateral with apex, deep": replace(PLAIN, defect=Defect(angle=0, width=110, inner=0.0, outer=0.8, depth=0.9)),
}


def angle_error(found: float, true: float) -> float:
    """Degrees between two angles."""
    return abs((found - true + 180) % 360 - 180)


def main() -> None:
    """Print the table."""
    print("| shell | apex, base off (mm) | radius off (mm) | angle off | extent: true, found | depth: true, found |")
    print("|---|---|---|---|---|---|")
    for name, shell in SHELLS.items():
        errors, depths, extents, limits = [], [], [], []
        for seed in range(5):
            volume = shell_volume(replace(shell, seed=seed))
            found = proposed_limits(volume)
            defect = measured_defect(disc_image(polar_samples(volume, found, Sampling()), 64))
            apex = apex_of(shell)[0]
            limits.append((found.apex - apex, found.base - apex - shell.length, found.radius - shell.radius))
            errors.append(angle_error(defect.angle, shell.defect.angle))
            extents.append(defect.extent)
            depths.append(defect.depth)
        off = np.mean(limits, axis=0)
        print(
            f"| {name} | {off[0]:+.1f}, {off[1]:+.1f} | {off[2]:+.1f} | {max(errors):.1f}° | "
            f"{defect_extent(shell.defect):.1f}, {min(extents):.1f} to {max(extents):.1f} | "
            f"{shell.defect.depth:.0%}, {np.mean(depths):.0%} |"
        )


if __name__ == "__main__":
    main()
