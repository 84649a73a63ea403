# The report and its figures, rendered from the archive of this machine alone.
localrules:
    all,


rule figures:
    input:
        summary=rules.summary.output.json,
        code=step_code("figures"),
    output:
        expand(f"{RESULTS}/figures/{{name}}.svg", name=["roofline", "ablation"]),
    log:
        f"{RESULTS}/logs/figures.log",
    resources:
        timing=1,
    params:
        folder=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        "python3 -m effdet_bench figures --summary {input.summary:q} --output {params.folder:q}"
        " 2>&1 | tee {log} >&2"


rule report:
    input:
        summary=rules.summary.output.json,
        figures=rules.figures.output,
        environment=rules.environment.output,
        photos=rules.photos.output,
        requests=job_files("requests.csv"),
        code=step_code("report"),
        templates=sorted(str(path) for path in Path("workflow/templates").glob("*.j2")),
    output:
        f"{RESULTS}/report.md",
    log:
        f"{RESULTS}/logs/report.log",
    resources:
        timing=1,
    params:
        results=lambda wildcards, input: os.path.dirname(input.summary),
        options=json.dumps({"smoke": CONFIG["smoke"], **CONFIG["report"]}),
    shell:
        "python3 -m effdet_bench report --results {params.results:q} --options {params.options:q}"
        " --output {output:q} 2>&1 | tee {log} >&2"
