"""`python -m infra.aws.observability`: alarms and dashboard come in, the template of their stack goes out.

It is a stack of its own: with them the supporting one would be longer than CloudFormation takes in a call. The file is
kept in the repository, and in the merge template (`template.py`); a test says when it is no longer what this makes.
"""

import json
from pathlib import Path
from typing import Any

from infra.aws.alarms import ALARMS
from infra.aws.dashboard import dashboard
from infra.aws.template import read

FILE = Path(__file__).with_name("observability.json")


def template() -> dict[str, Any]:
    """What watches a stage."""
    topic = {"Type": "String", "Default": "", "Description": "SNS topic that is told of alarms; empty for none"}
    prefix = read("stack.json")["Parameters"]["Prefix"]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Berth: what watches a stage: alarms and a dashboard",
        "Parameters": {"Prefix": prefix, "AlarmTopicArn": topic},
        "Conditions": {"HasAlarmTopic": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopicArn"}, ""]}]}},
        "Resources": {**{each.title: each.resource() for each in ALARMS}, "Dashboard": dashboard()},
    }


def written() -> str:
    """One resource a line: short enough, and a change shows where it is."""
    made = template()
    resources = [f"    {json.dumps(name)}: {json.dumps(each)}" for name, each in made.pop("Resources").items()]
    head = json.dumps(made, indent=2).removesuffix("\n}")
    return head + ',\n  "Resources": {\n' + ",\n".join(resources) + "\n  }\n}\n"


if __name__ == "__main__":
    FILE.write_text(written())
