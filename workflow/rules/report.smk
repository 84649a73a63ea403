# The report and its figures, rendered from the archive of this machine alone.
localrules:
    all,


rule settings:
    input:
        code=step_code("config"),
    output:
        f"{RESULTS}/settings.json",
    log:
        f"{RESULTS}/logs/settings.log",
    resources:
        timing=1,
    params:
        config=json.dumps(settings.archived(CONFIG)),
    shell:
        "python3 -m effdet_bench settings --config {params.config:q} --output {output:q}"
        " 2>&1 | tee {log} >&2"


rule figures:
    input:
        summary=rules.summary.output.json,
        requests=job_files("requests.csv"),
        stages=job_files("stages.csv"),
        code=step_code("figures.draw"),
    output:
        report(expand(f"{RESULTS}/figures/{{name}}.svg", name=FIGURES), category="Figures"),
    log:
        f"{RESULTS}/logs/figures.log",
    resources:
        timing=1,
    params:
        results=lambda wildcards, input: os.path.dirname(input.summary),
    shell:
        "python3 -m effdet_bench figures --results {params.results:q} 2>&1 | tee {log} >&2"


rule report:
    input:
        summary=rules.summary.output.json,
        figures=rules.figures.output,
        environment=rules.environment.output,
        photos=rules.photos.output,
        settings=rules.settings.output,
        requests=job_files("requests.csv"),
        code=step_code("report"),
        templates=sorted(str(path) for path in Path("workflow/templates").iterdir()),
    output:
        f"{RESULTS}/report.md",
        report(f"{RESULTS}/report.html", category="Report"),
    log:
        REPORT_LOG,
    resources:
        timing=1,
    params:
        results=lambda wildcards, input: os.path.dirname(input.summary),
    shell:
        "python3 -m effdet_bench report --results {params.results:q} 2>&1 | tee {log} >&2"
