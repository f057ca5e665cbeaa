"""Create one resource of each kind in the local RDS, and read all of them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local.control.conftest import LocalRdsDaemon

ROLE = "arn:aws:iam::123456789012:role/toured"
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
TAGS: Any = [{"Key": "team", "Value": "shop"}]


def secrets(local: LocalRdsDaemon) -> None:
    client = local.client("secretsmanager")
    arn = client.create_secret(Name="tour/db", SecretString="one", Tags=TAGS)["ARN"]
    client.put_secret_value(SecretId=arn, SecretString="two", VersionStages=["AWSPENDING"])
    client.create_secret(Name="tour/bytes", SecretBinary=b"\x00\xff")
    client.create_secret(Name="tour/gone", SecretString="x")
    client.delete_secret(SecretId="tour/gone", RecoveryWindowInDays=7)
    client.put_resource_policy(SecretId=arn, ResourcePolicy=POLICY)


def parameters(local: LocalRdsDaemon) -> None:
    client = local.client("ssm")
    for number in range(3):
        client.put_parameter(Name="/tour/limit", Value=str(number), Type="String", Overwrite=True)
    client.put_parameter(Name="/tour/secret", Value="x", Type="SecureString", Tags=TAGS)
    client.label_parameter_version(Name="/tour/limit", ParameterVersion=2, Labels=["good"])
    content = json.dumps({"schemaVersion": "2.2", "mainSteps": []})
    client.create_document(Name="tour", Content=content, DocumentType="Command")
    client.create_maintenance_window(
        Name="tour", Schedule="rate(1 day)", Duration=2, Cutoff=1, AllowUnassociatedTargets=True
    )
    client.create_patch_baseline(Name="tour")


def messages(local: LocalRdsDaemon) -> None:
    sns, sqs = local.client("sns"), local.client("sqs")
    topic = sns.create_topic(Name="tour.fifo", Attributes={"FifoTopic": "true"}, Tags=TAGS)["TopicArn"]
    plain = sns.create_topic(Name="tour")["TopicArn"]
    dead = sqs.create_queue(QueueName="tour-dead")["QueueUrl"]
    dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 3})
    queue = sqs.create_queue(QueueName="tour", Attributes={"RedrivePolicy": redrive}, tags={"a": "b"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = sns.subscribe(
        TopicArn=plain, Protocol="sqs", Endpoint=arn, Attributes={"FilterPolicy": json.dumps({"k": ["v"]})}
    )["SubscriptionArn"]
    sns.set_subscription_attributes(
        SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="true"
    )
    attribute = {"k": {"DataType": "String", "StringValue": "v"}}
    sns.publish(TopicArn=plain, Message="hello", MessageAttributes=attribute)
    sns.publish(TopicArn=topic, Message="hello", MessageGroupId="g", MessageDeduplicationId="d")
    binary = {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    sqs.send_message(QueueUrl=queue, MessageBody="kept", MessageAttributes=binary)
    sqs.receive_message(QueueUrl=queue, VisibilityTimeout=600)
    fifo = sqs.create_queue(QueueName="tour.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    sqs.send_message(QueueUrl=fifo, MessageBody="kept", MessageGroupId="g", MessageDeduplicationId="d")
    sns.create_platform_application(Name="tour", Platform="GCM", Attributes={"PlatformCredential": "x"})


def people(local: LocalRdsDaemon) -> None:
    iam = local.client("iam")
    iam.create_user(UserName="tourist", Tags=TAGS)
    iam.create_access_key(UserName="tourist")
    iam.create_login_profile(UserName="tourist", Password="correct-horse-7A")
    iam.create_group(GroupName="tourists")
    iam.add_user_to_group(GroupName="tourists", UserName="tourist")
    iam.put_group_policy(GroupName="tourists", PolicyName="own", PolicyDocument=POLICY)
    policy = iam.create_policy(PolicyName="toured", PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=POLICY, SetAsDefault=True)
    iam.attach_user_policy(UserName="tourist", PolicyArn=policy)
    iam.create_role(RoleName="toured", AssumeRolePolicyDocument=POLICY, PermissionsBoundary=policy)
    iam.attach_role_policy(RoleName="toured", PolicyArn=policy)
    iam.create_instance_profile(InstanceProfileName="toured")
    iam.add_role_to_instance_profile(InstanceProfileName="toured", RoleName="toured")
    iam.create_saml_provider(Name="tour", SAMLMetadataDocument="x" * 1000)
    iam.create_open_id_connect_provider(Url="https://tour.example", ThumbprintList=["a" * 40], ClientIDList=["x"])
    iam.create_account_alias(AccountAlias="tour")
    iam.update_account_password_policy(MinimumPasswordLength=12)
    iam.create_virtual_mfa_device(VirtualMFADeviceName="tour")
    local.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="tour", Policy=POLICY)


def keys(local: LocalRdsDaemon) -> None:
    client, key = local.client("kms"), {}
    for spec, usage in (
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("ECC_NIST_P256", "SIGN_VERIFY"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
    ):
        key = client.create_key(KeySpec=spec, KeyUsage=usage, Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]
        client.create_alias(AliasName=f"alias/tour-{spec.lower().replace('_', '-')}", TargetKeyId=key["KeyId"])
    client.create_grant(KeyId=key["KeyId"], GranteePrincipal=ROLE, Operations=["GenerateMac"])


def networks(local: LocalRdsDaemon) -> None:
    client = local.client("ec2")
    vpc = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        client.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("ab")
    ]
    group = client.create_security_group(GroupName="tour", Description="tour", VpcId=vpc)["GroupId"]
    ranges = [{"CidrIp": "10.0.0.0/8", "Description": "all"}]
    client.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": ranges}]
    )
    gateway = client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    client.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = client.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    client.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    client.associate_route_table(RouteTableId=table, SubnetId=subnets[0]["Subnet"]["SubnetId"])
    client.create_network_acl(VpcId=vpc)
    client.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.eu-west-1.secretsmanager")
    client.create_tags(Resources=[vpc], Tags=TAGS)
    client.allocate_address(Domain="vpc")
    client.create_key_pair(KeyName="tour")
    client.create_volume(AvailabilityZone="eu-west-1a", Size=1)
    client.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name", "Values": ["tour"]}])
    identifiers = [each["Subnet"]["SubnetId"] for each in subnets]
    local.rds.create_db_subnet_group(DBSubnetGroupName="tour", DBSubnetGroupDescription="tour", SubnetIds=identifiers)


def observations(local: LocalRdsDaemon) -> None:
    metrics, logs = local.client("cloudwatch"), local.client("logs")
    dimensions = [{"Name": "d", "Value": "v"}]
    data = [{"MetricName": "Orders", "Value": 1.5, "Unit": "Count", "Dimensions": dimensions}]
    metrics.put_metric_data(Namespace="Tour", MetricData=data)
    metrics.put_metric_alarm(
        AlarmName="tour",
        MetricName="Orders",
        Namespace="Tour",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
        Statistic="Sum",
        Tags=TAGS,
    )
    metrics.set_alarm_state(AlarmName="tour", StateValue="ALARM", StateReason="tour")
    metrics.put_dashboard(DashboardName="tour", DashboardBody="{}")
    logs.create_log_group(logGroupName="/tour", tags={"a": "b"})
    logs.create_log_stream(logGroupName="/tour", logStreamName="one")
    event = [{"timestamp": int(time.time() * 1000), "message": "kept"}]
    logs.put_log_events(logGroupName="/tour", logStreamName="one", logEvents=event)
    logs.put_retention_policy(logGroupName="/tour", retentionInDays=7)
    logs.put_resource_policy(policyName="tour", policyDocument=POLICY)
    logs.put_metric_filter(
        logGroupName="/tour",
        filterName="tour",
        filterPattern="x",
        metricTransformations=[{"metricName": "m", "metricNamespace": "n", "metricValue": "1"}],
    )


def databases(local: LocalRdsDaemon) -> None:
    rds = local.rds
    rds.create_db_parameter_group(
        DBParameterGroupName="tour", DBParameterGroupFamily="postgres18", Description="tour", Tags=TAGS
    )
    rds.modify_db_parameter_group(
        DBParameterGroupName="tour",
        Parameters=[{"ParameterName": "work_mem", "ParameterValue": "8192", "ApplyMethod": "immediate"}],
    )
    topic = local.client("sns").create_topic(Name="tour")["TopicArn"]
    rds.create_event_subscription(
        SubscriptionName="tour", SnsTopicArn=topic, SourceType="db-instance", EventCategories=["availability"]
    )
    settings = {
        "Engine": "postgres",
        "DBInstanceClass": "db.t4g.micro",
        "MasterUsername": "app",
        "AllocatedStorage": 20,
    }
    local.create("tour", **settings, ManageMasterUserPassword=True, MultiAZ=True, DBParameterGroupName="tour")
    rds.create_db_instance_read_replica(DBInstanceIdentifier="tour-r1", SourceDBInstanceIdentifier="tour")
    rds.create_db_cluster(
        DBClusterIdentifier="tour-c", Engine="aurora-postgresql", MasterUsername="app", ManageMasterUserPassword=True
    )
    rds.create_db_instance(
        DBInstanceIdentifier="tour-c1",
        DBClusterIdentifier="tour-c",
        Engine="aurora-postgresql",
        DBInstanceClass="db.r6g.large",
    )
    rds.create_db_cluster_endpoint(
        DBClusterIdentifier="tour-c", DBClusterEndpointIdentifier="tour-e", EndpointType="ANY"
    )
    for identifier in ("tour-r1", "tour-c1"):
        local.settle(identifier)


TOUR: tuple[Callable[[LocalRdsDaemon], None], ...] = (
    *(secrets, parameters, messages, people, keys, networks, observations, databases),
)

#: A reading call of each service, and the name of its answer.
READS: dict[str, tuple[tuple[str, dict[str, Any], str], ...]] = {
    "secretsmanager": (
        ("list_secrets", {"IncludePlannedDeletion": True}, "SecretList"),
        ("get_secret_value", {"SecretId": "tour/bytes"}, "SecretBinary"),
        ("get_secret_value", {"SecretId": "tour/db", "VersionStage": "AWSPENDING"}, "SecretString"),
        ("get_resource_policy", {"SecretId": "tour/db"}, "ResourcePolicy"),
    ),
    "ssm": (
        ("get_parameter_history", {"Name": "/tour/limit"}, "Parameters"),
        ("describe_parameters", {}, "Parameters"),
        ("get_parameters_by_path", {"Path": "/tour", "WithDecryption": True}, "Parameters"),
        ("list_tags_for_resource", {"ResourceType": "Parameter", "ResourceId": "/tour/secret"}, "TagList"),
        ("describe_document", {"Name": "tour"}, "Document"),
        ("describe_maintenance_windows", {}, "WindowIdentities"),
    ),
    "sns": (
        ("list_topics", {}, "Topics"),
        ("list_subscriptions", {}, "Subscriptions"),
        ("list_platform_applications", {}, "PlatformApplications"),
    ),
    "sqs": (("list_queues", {}, "QueueUrls"),),
    "iam": (
        ("get_account_authorization_details", {}, "UserDetailList"),
        ("get_account_authorization_details", {}, "RoleDetailList"),
        ("list_users", {}, "Users"),
        ("list_access_keys", {"UserName": "tourist"}, "AccessKeyMetadata"),
        ("list_attached_user_policies", {"UserName": "tourist"}, "AttachedPolicies"),
        ("list_policies", {"Scope": "Local"}, "Policies"),
        ("list_instance_profiles", {}, "InstanceProfiles"),
        ("list_saml_providers", {}, "SAMLProviderList"),
        ("get_account_password_policy", {}, "PasswordPolicy"),
        ("list_virtual_mfa_devices", {}, "VirtualMFADevices"),
    ),
    "kms": (
        ("list_aliases", {}, "Aliases"),
        ("list_keys", {}, "Keys"),
        ("get_public_key", {"KeyId": "alias/tour-rsa-2048"}, "PublicKey"),
        ("get_public_key", {"KeyId": "alias/tour-ecc-nist-p256"}, "PublicKey"),
        ("generate_mac", {"KeyId": "alias/tour-hmac-256", "Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}, "Mac"),
        ("list_grants", {"KeyId": "alias/tour-hmac-256"}, "Grants"),
    ),
    "ec2": (
        ("describe_vpcs", {}, "Vpcs"),
        ("describe_subnets", {}, "Subnets"),
        ("describe_security_groups", {}, "SecurityGroups"),
        ("describe_route_tables", {}, "RouteTables"),
        ("describe_internet_gateways", {}, "InternetGateways"),
        ("describe_network_acls", {}, "NetworkAcls"),
        ("describe_vpc_endpoints", {}, "VpcEndpoints"),
        ("describe_addresses", {}, "Addresses"),
        ("describe_key_pairs", {}, "KeyPairs"),
        ("describe_volumes", {}, "Volumes"),
        ("describe_dhcp_options", {}, "DhcpOptions"),
    ),
    "cloudwatch": (
        ("list_metrics", {"Namespace": "Tour"}, "Metrics"),
        ("describe_alarms", {}, "MetricAlarms"),
        ("list_dashboards", {}, "DashboardEntries"),
    ),
    "logs": (
        ("describe_log_groups", {}, "logGroups"),
        ("get_log_events", {"logGroupName": "/tour", "logStreamName": "one"}, "events"),
        ("describe_resource_policies", {}, "resourcePolicies"),
        ("describe_metric_filters", {}, "metricFilters"),
    ),
    "rds": (
        ("describe_db_instances", {}, "DBInstances"),
        ("describe_db_clusters", {}, "DBClusters"),
        ("describe_db_cluster_endpoints", {}, "DBClusterEndpoints"),
        ("describe_db_parameter_groups", {}, "DBParameterGroups"),
        ("describe_db_parameters", {"DBParameterGroupName": "tour", "Source": "user"}, "Parameters"),
        ("describe_db_subnet_groups", {}, "DBSubnetGroups"),
        ("describe_event_subscriptions", {}, "EventSubscriptionsList"),
        ("describe_events", {}, "Events"),
    ),
}


def take(local: LocalRdsDaemon) -> None:
    """Create one resource of each kind."""
    for stop in TOUR:
        stop(local)


def seen(local: LocalRdsDaemon) -> dict[str, Any]:
    """Return the resources as the API shows them."""
    found = {}
    for service, reads in READS.items():
        client = local.client(service)
        for number, (call, arguments, name) in enumerate(reads):
            found[f"{service} {number} {call} {name}"] = getattr(client, call)(**arguments).get(name)
    return found
