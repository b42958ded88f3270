{{/* Checks beyond the schema: values that contradict each other. Each message is one sentence that tells
     what to do. */}}
{{- define "game-gateway.guards" -}}
{{- include "game-gateway.guards.names" . -}}
{{- include "game-gateway.guards.config" . -}}
{{- include "game-gateway.guards.variables" . -}}
{{- include "game-gateway.guards.ports" . -}}
{{- include "game-gateway.guards.twice" . -}}
{{- include "game-gateway.guards.service" . -}}
{{- include "game-gateway.guards.memory" . -}}
{{- include "game-gateway.guards.drain" . -}}
{{- include "game-gateway.guards.daemonSet" . -}}
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
  "admin.tls" "set adminTls"
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
  "otlp.headers" "set GATEWAY__OTLP__HEADERS in extraEnvVars, from a Secret"
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
{{- end -}}

{{- define "game-gateway.guards.names" -}}
{{- $name := include "game-gateway.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "%q would be the name of a Service, which has only lower-case letters, digits and hyphens and begins with a letter: set another %s." $name (ternary "fullnameOverride" "nameOverride" (ne .Values.fullnameOverride ""))) -}}
{{- end -}}
{{- end -}}

{{/* Other variables of the chart are replaced by those of extraEnvVars. */}}
{{- define "game-gateway.guards.variables" -}}
{{- $computed := list "GATEWAY__DRAIN__WINDOW" "GATEWAY__LISTEN__ADDRESS" "GATEWAY__ADMIN__ADDRESS" "GATEWAY__PEER__ADDRESS" "GATEWAY__GATEWAY__ID" -}}
{{- if include "game-gateway.memoryLimit" . }}{{ $computed = append $computed "GATEWAY__LIMITS__MEMORY" }}{{ end -}}
{{- range $from, $entries := dict "extraEnvVars" .Values.extraEnvVars "routes.job.extraEnvVars" .Values.routes.job.extraEnvVars -}}
{{- $names := list -}}
{{- range include "game-gateway.list" (list $ $entries) | fromJsonArray -}}
{{- if has .name $computed -}}
{{- fail (printf "%s: %s would override what ports, probes, the grace period and the check of memory are computed from; set config or containerPorts." $from .name) -}}
{{- end -}}
{{- if has .name $names -}}
{{- fail (printf "%s: %s is there twice." $from .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Entries of users beside those of the chart: Kubernetes refuses names that are there twice, or takes one of
     them. */}}
{{- define "game-gateway.guards.twice" -}}
{{- $folder := include "game-gateway.folder" . -}}
{{- $mounts := keys (include "game-gateway.mounts" . | fromYaml) -}}
{{- $paths := list -}}
{{- range $mounts }}{{ $paths = append $paths (printf "%s/%s" $folder .) }}{{ end -}}
{{- $game := list "game" (toString .Values.service.ports.game) -}}
{{- $ports := list "game" "admin" "peer" (toString .Values.containerPorts.game) (toString .Values.containerPorts.admin) (toString .Values.containerPorts.peer) -}}
{{- range $case := list
  (list "extraVolumes" .Values.extraVolumes "name" $mounts)
  (list "extraVolumeMounts" .Values.extraVolumeMounts "mountPath" $paths)
  (list "sidecars" .Values.sidecars "name" (list "game-gateway"))
  (list "initContainers" .Values.initContainers "name" (list "game-gateway"))
  (list "service.extraPorts" .Values.service.extraPorts "name" $game)
  (list "service.extraPorts" .Values.service.extraPorts "port" $game)
  (list "extraContainerPorts" .Values.extraContainerPorts "name" $ports)
  (list "extraContainerPorts" .Values.extraContainerPorts "containerPort" $ports)
  (list "routes.job.extraVolumes" .Values.routes.job.extraVolumes "name" (list "routes-job" "redis-tls")) -}}
{{- range include "game-gateway.list" (list $ (index $case 1)) | fromJsonArray -}}
{{- $entry := get . (index $case 2) | toString -}}
{{- if has $entry (index $case 3) -}}
{{- fail (printf "%s: %s %s is the chart's own; take another." (index $case 0) (index $case 2) $entry) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.guards.service" -}}
{{- $service := .Values.service -}}
{{- if and $service.healthCheckNodePort (or (ne $service.type "LoadBalancer") (ne $service.externalTrafficPolicy "Local")) -}}
{{- fail "service.healthCheckNodePort needs service.type=LoadBalancer and service.externalTrafficPolicy=Local." -}}
{{- end -}}
{{- if and $service.sessionAffinityConfig (ne $service.sessionAffinity "ClientIP") -}}
{{- fail "service.sessionAffinityConfig needs service.sessionAffinity=ClientIP." -}}
{{- end -}}
{{- if and .Values.tcpRoute.enabled (not .Values.tcpRoute.parentRefs) -}}
{{- fail "tcpRoute.enabled needs tcpRoute.parentRefs: no Gateway would serve the route." -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled exclude each other: every sample would be there twice." -}}
{{- end -}}
{{- end -}}

{{/* A gateway over its limit of memory is killed with all its players, and killed again. */}}
{{- define "game-gateway.guards.memory" -}}
{{- with include "game-gateway.memoryLimit" . -}}
{{- $limit := int64 . -}}
{{- if lt $limit 33554432 -}}
{{- fail (printf "resources.limits.memory is %v: a gateway needs at least 32Mi." (dig "limits" "memory" "" $.Values.resources)) -}}
{{- end -}}
{{- $given := dig "limits" "memory" "" $.Values.config -}}
{{- if ne (toString $given) "" -}}
{{- $budget := include "game-gateway.bytes" (list "config.limits.memory" $given "64MiB") | int64 -}}
{{- if gt (add (div (mul 5 $budget) 2) 16777216) $limit -}}
{{- fail (printf "config.limits.memory is %v, but resources.limits.memory is %v and a gateway needs two and a half times the former and 16Mi: the kernel would kill it with all its players; raise the limit, or leave config.limits.memory out." $given (dig "limits" "memory" "" $.Values.resources)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.guards.daemonSet" -}}
{{- if eq .Values.kind "DaemonSet" -}}
{{- if or (ne (toString .Values.replicaCount) "") .Values.autoscaling.enabled -}}
{{- fail "kind=DaemonSet has one gateway on each node: leave replicaCount empty and autoscaling.enabled false; nodeSelector says which nodes." -}}
{{- end -}}
{{- if .Values.scaleDown.podDeletionCost.enabled -}}
{{- fail "kind=DaemonSet is never scaled down: leave scaleDown.podDeletionCost.enabled false." -}}
{{- end -}}
{{- if eq .Values.updateStrategy.type "Recreate" -}}
{{- fail "updateStrategy.type=Recreate is for kind=Deployment; a DaemonSet has RollingUpdate and OnDelete." -}}
{{- end -}}
{{- $none := list "" "0" "0%" -}}
{{- $rolling := .Values.updateStrategy.rollingUpdate -}}
{{- if and (not (has (toString $rolling.maxSurge) $none)) (or .Values.hostNetwork (not (has (toString $rolling.maxUnavailable) $none))) -}}
{{- fail "updateStrategy.rollingUpdate: a DaemonSet has maxSurge or maxUnavailable, and with hostNetwork no maxSurge, for two gateways cannot have the same ports of a node." -}}
{{- end -}}
{{- else if eq .Values.updateStrategy.type "OnDelete" -}}
{{- fail "updateStrategy.type=OnDelete is for kind=DaemonSet." -}}
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
{{- if eq (include "game-gateway.ip6" .) "true" -}}
{{- range $section := list "listen" "admin" "peer" -}}
{{- $address := dig $section "address" "" $.Values.config -}}
{{- if hasPrefix "0.0.0.0:" $address -}}
{{- fail (printf "config.%s.address is %q, which nothing reaches over IPv6, but service.ipFamilyPolicy or service.ipFamilies ask for it; leave it out, or write [::]." $section $address) -}}
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
{{- if and $scaling.keda.enabled $scaling.targetSessions (not $scaling.keda.prometheusAddress) -}}
{{- fail "autoscaling.targetSessions with autoscaling.keda.enabled needs autoscaling.keda.prometheusAddress, which knows the sessions." -}}
{{- end -}}
{{- range $resource, $target := dict "cpu" $scaling.targetCPU "memory" $scaling.targetMemory -}}
{{- if and $target (not (dig "requests" $resource "" (default dict $.Values.resources))) -}}
{{- fail (printf "autoscaling on %s is relative to resources.requests.%s, which is not set." $resource $resource) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $scaling.keda.enabled (not $scaling.enabled) -}}
{{- fail "autoscaling.keda.enabled needs autoscaling.enabled." -}}
{{- end -}}
{{- if and .Values.scaleDown.podDeletionCost.enabled (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "scaleDown.podDeletionCost.enabled would give its rights to the namespace's default ServiceAccount; set serviceAccount.create or serviceAccount.name." -}}
{{- end -}}
{{- end -}}

{{/* A budget that never allows an eviction blocks the drain of every node. */}}
{{- define "game-gateway.guards.budget" -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if and $budget.enabled (ne .Values.kind "DaemonSet") -}}
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
{{- if regexMatch "^[^:]*:[0-9]*$" $external.host -}}
{{- fail (printf "externalRedis.host is %q: the port goes into externalRedis.port." $external.host) -}}
{{- end -}}
{{- range $external.sentinel.hosts -}}
{{- if regexMatch ":.*:" (regexReplaceAll "^\\[[^]]*\\]" . "") -}}
{{- fail (printf "externalRedis.sentinel.hosts: %q has no clear port; an address of IPv6 goes in brackets, e.g. [fd00::1]:26379." .) -}}
{{- end -}}
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
{{- if and .Values.adminTls.enabled (not .Values.adminTls.existingSecret) -}}
{{- fail "adminTls.enabled needs a certificate: set adminTls.existingSecret." -}}
{{- end -}}
{{- if and .Values.adminTls.clientCaSecret (not .Values.adminTls.enabled) -}}
{{- fail "adminTls.clientCaSecret without adminTls.enabled would let everyone in: adminTls.enabled is false." -}}
{{- end -}}
{{- if and .Values.backendTls.enabled (not .Values.backendTls.existingSecret) -}}
{{- fail "backendTls.enabled needs backendTls.existingSecret: the image has no authorities of its own." -}}
{{- end -}}
{{- end -}}
