{{/* Checks beyond the schema: values that contradict each other. Each message is one sentence that tells
     what to do. */}}
{{- define "game-gateway.guards" -}}
{{- include "game-gateway.guards.config" . -}}
{{- include "game-gateway.guards.ports" . -}}
{{- include "game-gateway.guards.drain" . -}}
{{- include "game-gateway.guards.scale" . -}}
{{- include "game-gateway.guards.budget" . -}}
{{- include "game-gateway.guards.routes" . -}}
{{- include "game-gateway.guards.secrets" . -}}
{{- end -}}

{{/* Keys of the program that have their own values: rejected in `config` and as variables. */}}
{{- define "game-gateway.guards.config" -}}
{{- $instead := dict
  "gateway.id" "it is the pod's name"
  "admin.token" "set admin.token or admin.existingSecret, which are kept in a Secret"
  "session.token_keys" "set tokenKeys.keys or tokenKeys.existingSecret, which are kept in a Secret"
  "session.token_keys_file" "set tokenKeys.existingSecret"
  "backend.token" "set backendAuth.token or backendAuth.existingSecret, which are kept in a Secret"
  "backend.tls" "set backendTls"
  "listen.tls.certificate" "set tls.existingSecret"
  "listen.tls.key" "set tls.existingSecret"
  "listen.tls.client_ca" "set tls.clientCaSecret"
  "listen.tls.required" "set tls.required"
  "routes.source" "set routes.source"
  "routes.file" "set routes.rules or routes.existingConfigMap"
  "redis.url" "set externalRedis"
  "redis.username" "set externalRedis.username"
  "redis.password" "set externalRedis.password or externalRedis.existingSecret, which are kept in a Secret"
  "redis.sentinel_password" "set externalRedis.sentinel.password or externalRedis.existingSecret, which are kept in a Secret"
  "redis.ca" "set externalRedis.tls.existingSecret"
  "peer.advertise" "set peer.advertiseHost"
  "kubernetes.pod_deletion_cost" "set scaleDown.podDeletionCost.enabled" -}}
{{- range $key, $advice := $instead -}}
{{- $at := $.Values.config -}}
{{- range $part := splitList "." $key -}}
{{- $at = ternary (get (default dict $at) $part) "" (kindIs "map" $at) -}}
{{- end -}}
{{- if not (has (toString $at) (list "" "<nil>" "map[]")) -}}
{{- fail (printf "config.%s is not set here: %s." $key $advice) -}}
{{- end -}}
{{- end -}}
{{- $computed := list "GATEWAY__DRAIN__WINDOW" "GATEWAY__LISTEN__ADDRESS" "GATEWAY__ADMIN__ADDRESS" "GATEWAY__PEER__ADDRESS" "GATEWAY__GATEWAY__ID" -}}
{{- range .Values.extraEnvVars -}}
{{- if has .name $computed -}}
{{- fail (printf "extraEnvVars: %s would override what ports, probes and the grace period are computed from; set config or containerPorts." .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.guards.ports" -}}
{{- $ports := .Values.containerPorts -}}
{{- if ne (list (int $ports.game) (int $ports.admin) (int $ports.peer) | uniq | len) 3 -}}
{{- fail "containerPorts: game, admin and peer must be three different ports." -}}
{{- end -}}
{{- $configuration := include "game-gateway.configuration" . | fromJson -}}
{{- range $section, $name := dict "listen" "game" "admin" "admin" "peer" "peer" -}}
{{- with dig $section "address" "" $configuration -}}
{{- if not (hasSuffix (printf ":%d" (index $ports $name | int)) .) -}}
{{- fail (printf "config.%s.address is %q, but its port must be containerPorts.%s, %d, for Services and probes go there." $section . $name (index $ports $name | int)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.peer.enabled) (dig "peer" "address" "" .Values.config) -}}
{{- fail "config.peer.address is set, but peer.enabled is false." -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.guards.drain" -}}
{{- $needed := include "game-gateway.neededGrace" . | int -}}
{{- $grace := include "game-gateway.grace" . | int -}}
{{- if lt $grace $needed -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but a gateway needs %d: drain.preStopSleepSeconds %d, config.drain.window %s and drain.marginSeconds %d; leave it empty, or players are cut off." $grace $needed (int .Values.drain.preStopSleepSeconds) (dig "drain" "window" "30s" .Values.config) (int .Values.drain.marginSeconds)) -}}
{{- end -}}
{{- $rolling := .Values.updateStrategy.rollingUpdate -}}
{{- $none := list "0" "0%" -}}
{{- if and (eq .Values.updateStrategy.type "RollingUpdate") (has (toString $rolling.maxSurge) $none) (has (toString $rolling.maxUnavailable) $none) -}}
{{- fail "updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced." -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.guards.scale" -}}
{{- $scaling := .Values.autoscaling -}}
{{- if $scaling.enabled -}}
{{- if ne (toString .Values.replicaCount) "" -}}
{{- fail "replicaCount and autoscaling.enabled exclude each other: every upgrade would undo what the autoscaler did; set autoscaling.minReplicas." -}}
{{- end -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas is %d, over autoscaling.maxReplicas, %d." (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if not (or $scaling.targetCPU $scaling.targetMemory $scaling.targetSessions) -}}
{{- fail "autoscaling.enabled needs at least one of targetCPU, targetMemory and targetSessions." -}}
{{- end -}}
{{- range $resource, $target := dict "cpu" $scaling.targetCPU "memory" $scaling.targetMemory -}}
{{- if and $target (not (dig "requests" $resource "" (default dict $.Values.resources))) -}}
{{- fail (printf "autoscaling on %s is relative to resources.requests.%s, which is not set." $resource $resource) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.scaleDown.podDeletionCost.enabled (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "scaleDown.podDeletionCost.enabled would give its rights to the namespace's default ServiceAccount; set serviceAccount.create or serviceAccount.name." -}}
{{- end -}}
{{- end -}}

{{/* A budget that never allows an eviction blocks the drain of every node. */}}
{{- define "game-gateway.guards.budget" -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if $budget.enabled -}}
{{- $least := toString $budget.minAvailable -}}
{{- $most := toString $budget.maxUnavailable -}}
{{- if and (ne $least "") (ne $most "") -}}
{{- fail "podDisruptionBudget: set minAvailable or maxUnavailable, not both." -}}
{{- end -}}
{{- $replicas := include "game-gateway.replicas" . | int -}}
{{- $needed := int (trimSuffix "%" $least) -}}
{{- if hasSuffix "%" $least -}}
{{- $needed = div (add (mul $replicas $needed) 99) 100 | int -}}
{{- end -}}
{{- if and (ne $least "") (gt $replicas 0) (ge $needed $replicas) -}}
{{- fail (printf "podDisruptionBudget.minAvailable is %s of %d gateways, so none could ever be evicted and no node be drained; set maxUnavailable: 1." $least $replicas) -}}
{{- end -}}
{{- if has $most (list "0" "0%") -}}
{{- fail (printf "podDisruptionBudget.maxUnavailable is %s, so no gateway could ever be evicted and no node be drained; set 1." $most) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.guards.routes" -}}
{{- $external := .Values.externalRedis -}}
{{- if eq .Values.routes.source "redis" -}}
{{- if and .Values.redis.enabled (or $external.host $external.sentinel.enabled) -}}
{{- fail "redis.enabled and externalRedis exclude each other: one is for trials, the other is yours." -}}
{{- end -}}
{{- if not .Values.redis.enabled -}}
{{- if and $external.sentinel.enabled (not $external.sentinel.hosts) -}}
{{- fail "externalRedis.sentinel.enabled needs externalRedis.sentinel.hosts." -}}
{{- end -}}
{{- if not (or $external.host $external.sentinel.enabled) -}}
{{- fail "routes.source is redis, but there is none: set externalRedis.host, or externalRedis.sentinel, or for a trial redis.enabled." -}}
{{- end -}}
{{- if and $external.tls.enabled (not $external.tls.existingSecret) -}}
{{- fail "externalRedis.tls.enabled needs externalRedis.tls.existingSecret: the image has no authorities of its own." -}}
{{- end -}}
{{- end -}}
{{- if .Values.routes.existingConfigMap -}}
{{- fail "routes.existingConfigMap is for routes.source=file; with redis write the routes as routes.rules, or with game-gateway routes set." -}}
{{- end -}}
{{- else -}}
{{- if or .Values.redis.enabled $external.host $external.sentinel.enabled -}}
{{- fail "There is a Redis that nothing uses: set routes.source=redis." -}}
{{- end -}}
{{- if and .Values.routes.existingConfigMap (or .Values.routes.rules .Values.routes.realms .Values.echo.enabled) -}}
{{- fail "routes.existingConfigMap has all routes: leave routes.rules and routes.realms empty, and echo.enabled false." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.guards.secrets" -}}
{{- range $at, $key := .Values.tokenKeys.keys -}}
{{- if lt (len $key) 32 -}}
{{- fail (printf "tokenKeys.keys: number %d has %d bytes, and needs at least 32 (openssl rand -base64 32)." (add1 $at) (len $key)) -}}
{{- end -}}
{{- end -}}
{{- $tls := .Values.tls -}}
{{- if $tls.enabled -}}
{{- if not (or $tls.existingSecret $tls.certificate $tls.autoGenerated) -}}
{{- fail "tls.enabled needs a certificate: set tls.existingSecret, or tls.certificate and tls.key, or for a trial tls.autoGenerated." -}}
{{- end -}}
{{- if ne (empty $tls.certificate) (empty $tls.key) -}}
{{- fail "tls.certificate and tls.key belong together: set both." -}}
{{- end -}}
{{- else if or $tls.required $tls.existingSecret $tls.certificate $tls.autoGenerated $tls.clientCaSecret -}}
{{- fail "There are values below tls, but tls.enabled is false." -}}
{{- end -}}
{{- if and .Values.backendTls.enabled (not .Values.backendTls.existingSecret) -}}
{{- fail "backendTls.enabled needs backendTls.existingSecret: the image has no authorities of its own." -}}
{{- end -}}
{{- end -}}
