"""Answer the actions of the RDS API.

An action that is not listed in `OFFERED` is refused: moto would answer it with resources that do not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.rds.exceptions import InvalidParameterCombination, RDSClientError, SubscriptionNotFoundError
from moto.rds.responses import RDSResponse

from rdskit.local.control.rds.cluster_endpoints import ClusterEndpoints
from rdskit.local.control.rds.clusters import Clusters
from rdskit.local.control.rds.events import CLUSTER_EVENTS, EVENTS, within
from rdskit.local.control.rds.groups import ParameterGroups
from rdskit.local.control.rds.models import LocalRDSBackend
from rdskit.local.control.rds.parameters import Assignment
from rdskit.local.control.rds.rds_errors import InvalidValueError, NotOfferedError
from rdskit.local.control.rds.request_rules import check_request
from rdskit.local.control.rds.rules import SETTLED
from rdskit.local.control.rds.waiters import HOLD, is_waiter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from moto.core.common_types import TYPE_RESPONSE

    from rdskit.local.control.monitor import Monitor

__all__ = ["LocalRDSResponse"]

_PAGE = 100  # the default of MaxRecords in RDS

OFFERED = frozenset(
    {
        "AddTagsToResource",
        "CopyDBParameterGroup",
        "CreateDBCluster",
        "CreateDBClusterEndpoint",
        "CreateDBInstance",
        "CreateDBInstanceReadReplica",
        "CreateDBParameterGroup",
        "CreateDBSubnetGroup",
        "CreateEventSubscription",
        "DeleteDBCluster",
        "DeleteDBClusterEndpoint",
        "DeleteDBInstance",
        "DeleteDBParameterGroup",
        "DeleteDBSubnetGroup",
        "DeleteEventSubscription",
        "DescribeDBClusterEndpoints",
        "DescribeDBClusterSnapshots",
        "DescribeDBClusters",
        "DescribeDBEngineVersions",
        "DescribeDBInstances",
        "DescribeDBParameterGroups",
        "DescribeDBParameters",
        "DescribeDBProxies",
        "DescribeDBSnapshots",
        "DescribeDBSubnetGroups",
        "DescribeEngineDefaultParameters",
        "DescribeEventCategories",
        "DescribeEventSubscriptions",
        "DescribeEvents",
        "DescribeGlobalClusters",
        "FailoverDBCluster",
        "ListTagsForResource",
        "ModifyDBCluster",
        "ModifyDBClusterEndpoint",
        "ModifyDBInstance",
        "ModifyDBParameterGroup",
        "ModifyDBSubnetGroup",
        "ModifyEventSubscription",
        "PromoteReadReplica",
        "RebootDBInstance",
        "RemoveTagsFromResource",
        "ResetDBParameterGroup",
        "StartDBInstance",
        "StopDBInstance",
    }
)
"""The actions that work on real servers, and lists that are empty because nothing of that kind can exist."""


class LocalRDSResponse(RDSResponse):
    """The actions of RDS: each parses its request, calls the backend and delays waiters.

    Every method runs inside the monitor, which the gateway holds.

    Attributes:
        monitor: the control plane's monitor; set once, when the control plane is composed.
    """

    monitor: ClassVar[Monitor]

    @property
    def backend(self) -> LocalRDSBackend:
        """The backend of the request's account and region."""
        backend = super().backend
        assert isinstance(backend, LocalRDSBackend)
        return backend

    def call_action(self) -> TYPE_RESPONSE:
        """Refuse actions that are not offered and invalid requests; dispatch all others."""
        action = self._get_action()
        if action not in OFFERED:
            return self.serialized(ActionResult(NotOfferedError(action)))
        try:
            check_request(action, self.params.original_dict() if self.params else {})
        except RDSClientError as error:
            return self.serialized(ActionResult(error))
        return super().call_action()

    # ---- instances ------------------------------------------------------------------------------------------------

    def describe_db_instances(self) -> ActionResult:
        """Handle DescribeDBInstances; delay a waiter's call until the status settles."""
        # The wait releases the monitor, so that the workflow can change the status. Lists are read after it.
        if is_waiter(self.headers.get("User-Agent", "")):
            self.monitor.wait_until(self._settled, HOLD)
        return super().describe_db_instances()

    def modify_db_instance(self) -> ActionResult:
        """Handle ModifyDBInstance of one instance."""
        # plan() works with RDS's names of parameters. moto's other access has them in snake case.
        request = self.params.original_dict()
        return ActionResult({"DBInstance": self.backend.modify_db_instance(self._identifier(), request)})

    def reboot_db_instance(self) -> ActionResult:
        """Handle RebootDBInstance, with or without failover."""
        forced = bool(self.params.get("ForceFailover"))
        return ActionResult({"DBInstance": self.backend.reboot(self._identifier(), force_failover=forced)})

    def delete_db_instance(self) -> ActionResult:
        """Handle DeleteDBInstance of one instance."""
        skip, snapshot = bool(self.params.get("SkipFinalSnapshot")), self.params.get("FinalDBSnapshotIdentifier")
        instance = self.backend.delete(self._identifier(), skip_snapshot=skip, final_snapshot=snapshot)
        return ActionResult({"DBInstance": instance})

    def describe_db_engine_versions(self) -> ActionResult:
        """Handle DescribeDBEngineVersions with the installed versions."""
        engine, version = self.params.get("Engine"), self.params.get("EngineVersion")
        family = self.params.get("DBParameterGroupFamily")
        found = self.backend.engines.describe(engine, version, family)
        return self._page("DBEngineVersions", found[:1] if self.params.get("DefaultOnly") else found)

    # ---- clusters -------------------------------------------------------------------------------------------------

    def create_db_cluster(self) -> ActionResult:
        """Handle CreateDBCluster for both kinds of clusters."""
        return ActionResult({"DBCluster": self._clusters().create(self.params)})

    def describe_db_clusters(self) -> ActionResult:
        """Handle DescribeDBClusters; delay a waiter's call until all clusters are available."""
        asked, clusters = self.params.get("DBClusterIdentifier"), self._clusters()
        if is_waiter(self.headers.get("User-Agent", "")):
            self.monitor.wait_until(lambda: _all_available(clusters.describe(asked)), HOLD)
        return self._page("DBClusters", clusters.describe(asked))

    def modify_db_cluster(self) -> ActionResult:
        """Handle ModifyDBCluster of one cluster."""
        return ActionResult({"DBCluster": self._clusters().modify(self.params.original_dict())})

    def failover_db_cluster(self) -> ActionResult:
        """Handle FailoverDBCluster of one cluster."""
        target = self.params.get("TargetDBInstanceIdentifier")
        return ActionResult({"DBCluster": self._clusters().fail_over(self.params["DBClusterIdentifier"], target)})

    def delete_db_cluster(self) -> ActionResult:
        """Handle DeleteDBCluster of one cluster."""
        skip = bool(self.params.get("SkipFinalSnapshot"))
        return ActionResult(
            {"DBCluster": self._clusters().delete(self.params["DBClusterIdentifier"], skip_snapshot=skip)}
        )

    def create_db_cluster_endpoint(self) -> ActionResult:
        """Handle CreateDBClusterEndpoint of one cluster."""
        return ActionResult(self._endpoints().create(self.params))

    def describe_db_cluster_endpoints(self) -> ActionResult:
        """Handle DescribeDBClusterEndpoints of one cluster or all."""
        return self._page("DBClusterEndpoints", self._endpoints().describe(self.params))

    def modify_db_cluster_endpoint(self) -> ActionResult:
        """Handle ModifyDBClusterEndpoint of one endpoint."""
        return ActionResult(self._endpoints().modify(self.params))

    def delete_db_cluster_endpoint(self) -> ActionResult:
        """Handle DeleteDBClusterEndpoint of one endpoint."""
        return ActionResult(self._endpoints().delete(self.params["DBClusterEndpointIdentifier"]))

    # ---- parameter groups -----------------------------------------------------------------------------------------

    def create_db_parameter_group(self) -> ActionResult:
        """Handle CreateDBParameterGroup of a known family."""
        return ActionResult({"DBParameterGroup": self._groups().create(self.params)})

    def modify_db_parameter_group(self) -> ActionResult:
        """Handle ModifyDBParameterGroup of one group."""
        group = self._groups().modify(self.params["DBParameterGroupName"], self._assignments())
        return ActionResult({"DBParameterGroupName": group.name})

    def reset_db_parameter_group(self) -> ActionResult:
        """Handle ResetDBParameterGroup for all or some parameters."""
        everything = self.params.get("ResetAllParameters", not self.params.get("Parameters"))
        chosen = None if everything else self._assignments()
        group = self._groups().reset(self.params["DBParameterGroupName"], chosen)
        return ActionResult({"DBParameterGroupName": group.name})

    def delete_db_parameter_group(self) -> ActionResult:
        """Handle DeleteDBParameterGroup of an unused group."""
        self._groups().delete(self.params["DBParameterGroupName"])
        return EmptyResult()

    def describe_db_parameters(self) -> ActionResult:
        """Handle DescribeDBParameters of one group."""
        parameters = self._groups().describe(self.params["DBParameterGroupName"], self.params.get("Source"))
        return self._page("Parameters", parameters)

    def describe_engine_default_parameters(self) -> ActionResult:
        """Handle DescribeEngineDefaultParameters of one family."""
        family = self.params["DBParameterGroupFamily"]
        known = self.backend.engines.parameters(family)
        page = self._page("Parameters", [known[name].described(None) for name in sorted(known)]).result
        assert isinstance(page, dict)
        return ActionResult({"EngineDefaults": {"DBParameterGroupFamily": family, **page}})

    # ---- events ---------------------------------------------------------------------------------------------------

    def describe_events(self) -> ActionResult:
        """Handle DescribeEvents, by default of the last hour."""
        asked = self.params
        if asked.get("SourceIdentifier") and not asked.get("SourceType"):
            raise InvalidParameterCombination("Cannot specify source identifier without source type")
        events = self.backend.recorded(asked.get("SourceIdentifier"), asked.get("SourceType"))
        chosen = within(
            events,
            now=utcnow(),
            start=_naive(asked.get("StartTime")),
            end=_naive(asked.get("EndTime")),
            minutes=asked.get("Duration"),
            categories=asked.get("EventCategories", ()),
        )
        return self._page("Events", chosen)

    def create_event_subscription(self) -> ActionResult:
        """Handle CreateEventSubscription; the subscription is enabled by default."""
        subscription = self.backend.create_event_subscription(self.params)
        subscription.enabled = self.params.get("Enabled") is not False
        return ActionResult({"EventSubscription": subscription})

    def modify_event_subscription(self) -> ActionResult:
        """Handle ModifyEventSubscription of one subscription."""
        name = self.params["SubscriptionName"]
        subscription = self.backend.event_subscriptions.get(name)
        if subscription is None:
            raise SubscriptionNotFoundError(name)
        for attribute in ("sns_topic_arn", "source_type", "event_categories", "enabled"):
            if (value := self.params.get(attribute)) is not None:
                setattr(subscription, attribute, value)
        return ActionResult({"EventSubscription": subscription})

    def describe_event_categories(self) -> ActionResult:
        """Handle DescribeEventCategories with the categories of events that occur here."""
        raised = {"db-instance": EVENTS, "db-cluster": CLUSTER_EVENTS}
        found = [
            {"SourceType": source, "EventCategories": sorted({kind.category for kind in kinds.values()})}
            for source, kinds in raised.items()
            if self.params.get("SourceType") in (None, source)
        ]
        return ActionResult({"EventCategoriesMapList": found})

    # ---- details --------------------------------------------------------------------------------------------------

    def _identifier(self) -> str:
        return str(self.params["DBInstanceIdentifier"])

    def _settled(self) -> bool:
        # Evaluated again after each announcement, so instances are looked up each time: they may be gone.
        identifier = str(self.params.get("DBInstanceIdentifier") or "").rpartition(":")[2].lower()
        chosen = [each for each in self.backend.instances() if identifier in ("", each.db_instance_identifier)]
        return all(each.status in SETTLED for each in chosen)

    def _page(self, name: str, found: Sequence[object]) -> ActionResult:
        """Return one page of a list; the marker is the index of the next page."""
        marker, size = self.params.get("Marker") or "0", self.params.get("MaxRecords") or _PAGE
        if not marker.isdigit():
            raise InvalidValueError(f"Invalid marker: {marker}")
        begin = int(marker)
        following = str(begin + size) if begin + size < len(found) else None
        return ActionResult({name: found[begin : begin + size], "Marker": following})

    def _clusters(self) -> Clusters:
        return Clusters(self.backend)

    def _endpoints(self) -> ClusterEndpoints:
        return ClusterEndpoints(self._clusters(), self.backend)

    def _groups(self) -> ParameterGroups:
        return ParameterGroups(self.backend)

    def _assignments(self) -> list[Assignment]:
        given: Iterable[Any] = self.params.get("Parameters", [])
        return [_assignment(each) for each in given]


def _all_available(clusters: Iterable[dict[str, object]]) -> bool:
    return all(each["Status"] == "available" for each in clusters)


def _assignment(given: Any) -> Assignment:
    name, method = given.get("ParameterName"), given.get("ApplyMethod")
    if not name or not method:
        raise InvalidValueError("The parameters ParameterName and ApplyMethod must be provided for every parameter.")
    return Assignment(name, str(given.get("ParameterValue") or ""), method)


def _naive(moment: Any) -> Any:
    # moto's dates are naive UTC; those of a request have a zone.
    return moment.replace(tzinfo=None) if moment is not None and moment.tzinfo else moment
