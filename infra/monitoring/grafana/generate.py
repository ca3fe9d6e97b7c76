"""Writes the Grafana dashboards: ``python infra/monitoring/grafana/generate.py`` (with the developers' dependencies).

Grafana takes the JSON by provisioning or by import; it asks for the Prometheus that it shall read.
"""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphDrawStyle, TimeZoneBrowser
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from modelcast.infra.monitoring.grafana.panels import DASHBOARDS
from modelcast.infra.monitoring.grafana.shapes import DashboardSpec, PanelSpec, Shape

HERE = Path(__file__).parent
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT, WIDTH, STAT_HEIGHT, STAT_WIDTH = 8, 12, 4, 6
NO_DATA = "No data"


def rendered(spec: DashboardSpec) -> str:
    """A dashboard as Grafana's JSON."""
    made = (
        dashboard.Dashboard(spec.title)
        .uid(spec.uid)
        .tags(["modelcast"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone(TimeZoneBrowser)
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for name, query in spec.variables:
        variable = dashboard.QueryVariable(name).datasource(SOURCE).query(query)
        made.with_variable(variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED))
    for panel in spec.panels:
        made.with_panel(_panel(panel))
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _panel(spec: PanelSpec) -> stat.Panel | timeseries.Panel:
    made: stat.Panel | timeseries.Panel
    if spec.shape is Shape.STAT:
        # The value of now, or "No data": never the last one that there was.
        latest = common.ReduceDataOptions().calcs(["last"])
        made = stat.Panel().span(STAT_WIDTH).height(STAT_HEIGHT).reduce_options(latest)
    else:
        made = timeseries.Panel().span(WIDTH).height(HEIGHT).span_nulls(False).min(0)
        if spec.shape is Shape.BARS:
            made.draw_style(GraphDrawStyle.BARS).fill_opacity(80)
    made.title(spec.title).description(spec.help).unit(spec.unit).datasource(SOURCE).no_value(NO_DATA)
    for number, query in enumerate(spec.queries):
        target = prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(query.expr).legend_format(query.legend)
        made.with_target(target.instant() if spec.shape is Shape.STAT else target.range())
    return made


def main() -> None:
    """Write every dashboard beside this file."""
    for spec in DASHBOARDS:
        (HERE / f"{spec.uid}.json").write_text(rendered(spec))


if __name__ == "__main__":
    main()
