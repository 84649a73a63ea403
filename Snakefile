# The workflow, in reading order. Settings are in config.yaml; `snakemake --cores 1` makes the report.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/checkpoints.smk"
include: "workflow/rules/reference.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/timing.smk"
include: "workflow/rules/accuracy.smk"
include: "workflow/rules/validity.smk"
include: "workflow/rules/roofline.smk"
include: "workflow/rules/summary.smk"
include: "workflow/rules/load.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/archive.smk"
include: "workflow/rules/bundle.smk"


show_modes()


onstart:
    begin()
    runs.note_archive(ARCHIVE.root)
    show_plan()


onsuccess:
    show_finding()


rule all:
    default_target: not CONFIG["strict"]
    input:
        rules.manifest.output,
        measured_records(),
        standings_files(),


# The same, but it fails if a mode is not valid, for scripts that read only the exit status.
rule strict:
    default_target: CONFIG["strict"]
    input:
        rules.all.input,
    log:
        ARCHIVE.logs / "strict.log",
    params:
        results=lambda wildcards, input: os.path.dirname(input[0]),
    shell:
        step("strict", "--results {params.results:q}")
