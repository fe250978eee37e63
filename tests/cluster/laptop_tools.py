"""What stands in for `ssh`, `rsync` and `aws` on the laptop of `test_ray_up_aws.py`: it writes down how it was called.

Called as `python laptop_tools.py TOOL ARGUMENT…`; `rsync` puts what it is given where the head would have it.
"""

import json
import os
import shutil
import sys
from pathlib import Path

tool, arguments = sys.argv[1], sys.argv[2:]
folder = Path(os.environ["LAPTOP_TOOLS_FOLDER"])
with (folder / "calls.jsonl").open("a", encoding="utf-8") as calls:
    calls.write(json.dumps({"tool": tool, "arguments": arguments}) + "\n")
if tool == "rsync" and ":" in arguments[-1] and Path(arguments[-2]).exists():
    target = folder / "head" / arguments[-1].partition(":")[2].replace("~/", "")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(arguments[-2], target)
