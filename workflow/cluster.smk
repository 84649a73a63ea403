# The workflow that times the machine types of a cluster: see docs/cluster.md.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/cluster.smk"
include: "rules/checkpoints.smk"


onstart:
    begin()


onsuccess:
    show_cluster()


onerror:
    show_cluster()
