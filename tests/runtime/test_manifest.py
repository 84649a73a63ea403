"""The example for Kubernetes is what Kubernetes takes."""

import kubernetes_validate
import yaml

from helpers import ROOT


def test_the_manifest_follows_the_schemas_of_kubernetes():
    documents = list(yaml.safe_load_all((ROOT / "docs" / "kubernetes.yaml").read_text()))
    assert [one["kind"] for one in documents] == ["Deployment", "Service"]
    version = kubernetes_validate.latest_version()
    for one in documents:
        kubernetes_validate.validate(one, version, strict=True)
