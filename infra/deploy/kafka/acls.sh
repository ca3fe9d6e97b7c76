#!/bin/sh
# The least that each role needs on the cluster. Run once, after `modelcast topics --create`, as a Kafka administrator:
#   KAFKA_ACLS='kafka-acls.sh --bootstrap-server kafka-1.example:9093 --command-config admin.properties' ./acls.sh
# REGIONS names the regions. Set KAFKA_ACLS=echo to see what it would do.
set -eu
: "${KAFKA_ACLS:?see the head of this file}"
: "${REGIONS:=eu us ap}"

topic() { # principal operation topic…
  principal="User:$1" operation="$2"
  shift 2
  for each in "$@"; do
    $KAFKA_ACLS --add --allow-principal "$principal" --operation "$operation" --operation Describe --topic "$each"
  done
}
# Delete: when the cluster has lost its topics, the offsets that were committed on them are forgotten too.
group() { $KAFKA_ACLS --add --allow-principal "User:$1" --operation Read --operation Delete --group "$2"; }

# Training jobs and operators: announce, and wait until it is served.
for who in modelcast-publisher modelcast-operator; do
  topic "$who" Write model-updates
  topic "$who" Read version-state
done
topic modelcast-operator Read dead-letters model-updates
topic modelcast-operator Read version-changes # history --at, of the last hour
topic modelcast-operator Read rollout-state region-heartbeats # `rollout get`; `rollout start` looks who is too old for it
topic modelcast-operator DescribeConfigs model-updates model-acks region-heartbeats version-state version-changes probe-state dead-letters traffic-counts traffic-state rollout-state outcomes # doctor
# `dead-letters replay` puts a record back where it came from, and notes it
topic modelcast-operator Write model-acks region-heartbeats dead-letters

# Whoever knows what came of answers, clicks or late labels: `modelcast outcome`, `OutcomeReporter`.
for who in modelcast-outcomes modelcast-operator; do
  topic "$who" Write outcomes
done

# Region agents: one principal a region, so that a region can't move another's place in the topic.
for region in $REGIONS; do
  topic "modelcast-region-$region" Read model-updates traffic-state
  topic "modelcast-region-$region" Write model-acks region-heartbeats traffic-counts
  # agents look whether every topic exists before they start
  topic "modelcast-region-$region" Describe version-state version-changes probe-state dead-letters rollout-state outcomes
  group "modelcast-region-$region" "modelcast-region-$region"
done

# The tracker: reads reports, writes who serves what, announces entries that were left unannounced. Its tables have
# changelogs of their own, which it makes at its first start.
topic modelcast-tracker Read model-updates model-acks region-heartbeats version-state version-changes probe-state
topic modelcast-tracker Write version-state version-changes probe-state model-updates dead-letters
topic modelcast-tracker Describe traffic-counts traffic-state rollout-state outcomes
group modelcast-tracker modelcast-tracker
for operation in Create Read Write Describe DescribeConfigs; do
  $KAFKA_ACLS --add --allow-principal User:modelcast-tracker --operation "$operation" \
    --topic modelcast-tracker- --resource-pattern-type prefixed
done

# The rollout controller: reads what regions count and what came of answers, grants shares in the log, and says how rollouts stand.
topic modelcast-rollouts Read model-updates traffic-counts rollout-state outcomes
topic modelcast-rollouts Write model-updates traffic-state rollout-state dead-letters
topic modelcast-rollouts Describe model-acks region-heartbeats version-state version-changes probe-state
group modelcast-rollouts modelcast-rollouts

# Dashboards, routers, command lines that only look.
topic modelcast-viewer Read version-state version-changes model-updates dead-letters # who published and commanded last, and why
# How far the consumer groups have read, and since when the first record waits that they have not.
topic modelcast-viewer Read model-acks region-heartbeats probe-state rollout-state traffic-state traffic-counts outcomes
for group in modelcast-tracker modelcast-rollouts $(printf 'modelcast-region-%s ' $REGIONS); do
  $KAFKA_ACLS --add --allow-principal User:modelcast-viewer --operation Describe --group "$group"
done
