{{/* Variables of a container, each name once, as lists of JSON: a name of a later list takes the place of
     the same one in earlier lists. Those of the pod come first, because others may refer to them.
     (list . "[{…}]" "[{…}]"…). */}}
{{- define "game-gateway.variables" -}}
{{- $ofPod := list -}}
{{- $all := list -}}
{{- range rest . -}}
{{- $names := list -}}
{{- range fromJsonArray . }}{{ $names = append $names .name }}{{ end -}}
{{- $kept := list -}}
{{- range concat $ofPod $all }}{{ if not (has .name $names) }}{{ $kept = append $kept . }}{{ end }}{{ end -}}
{{- $ofPod = list -}}
{{- $all = list -}}
{{- range concat $kept (fromJsonArray .) -}}
{{- if has .name (list "POD_NAME" "POD_IP" "POD_NAMESPACE") }}{{ $ofPod = append $ofPod . }}
{{- else }}{{ $all = append $all . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with concat $ofPod $all }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* A list of values that may hold templates, as JSON: (list . $list). */}}
{{- define "game-gateway.list" -}}
{{- tpl (toYaml (default list (index . 1))) (index . 0) | fromYamlArray | toJson -}}
{{- end -}}

{{/* What `env` and `envFrom` of a container are: (dict "root" . "chart" "…YAML…" "own" {values that win}). */}}
{{- define "game-gateway.environmentFields" -}}
{{- $root := .root -}}
{{- $own := default dict .own -}}
{{- $chart := default "" .chart | fromYamlArray | toJson -}}
{{- $common := include "game-gateway.list" (list $root $root.Values.extraEnvVars) -}}
{{- $special := include "game-gateway.list" (list $root $own.extraEnvVars) -}}
{{- with include "game-gateway.variables" (list $root $chart $common $special) }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- $map := default $root.Values.extraEnvVarsCM $own.extraEnvVarsCM }}
{{- $secret := default $root.Values.extraEnvVarsSecret $own.extraEnvVarsSecret }}
{{- if or $map $secret }}
envFrom:
  {{- with $map }}
  - configMapRef:
      name: {{ tpl . $root | quote }}
  {{- end }}
  {{- with $secret }}
  - secretRef:
      name: {{ tpl . $root | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Variables that say which pod it is. */}}
{{- define "game-gateway.identity" -}}
# Becomes gateway.id.
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- if .Values.peer.enabled }}
- name: GATEWAY__PEER__ADVERTISE
  value: {{ printf "%s:%d" (include "game-gateway.bracketed" .Values.peer.advertiseHost) (int .Values.containerPorts.peer) | quote }}
{{- end }}
{{- end -}}

{{/* The variables that the chart gives to a gateway. */}}
{{- define "game-gateway.environment" -}}
{{ include "game-gateway.identity" . }}
{{- if .Values.scaleDown.podDeletionCost.enabled }}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__ADMIN__TOKEN" (include "game-gateway.adminSecret" .) .Values.admin.existingSecretTokenKey) }}
{{- if or .Values.adminTls.enabled (ne (int .Values.containerPorts.admin) 9090) }}
# For `game-gateway admin` within the pod.
- name: GATEWAY_ADMIN_URL
  value: {{ printf "%s://127.0.0.1:%d" (ternary "https" "http" .Values.adminTls.enabled) (int .Values.containerPorts.admin) | quote }}
{{- end }}
{{- if and .Values.adminTls.enabled .Values.adminTls.caFilename }}
- name: GATEWAY_ADMIN_CA
  value: {{ printf "%s/admin-tls/%s" (include "game-gateway.folder" .) .Values.adminTls.caFilename | quote }}
{{- end }}
{{- if .Values.backendAuth.existingSecret }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__BACKEND__TOKEN" .Values.backendAuth.existingSecret .Values.backendAuth.existingSecretTokenKey) }}
{{- else if .Values.backendAuth.token }}
{{ include "game-gateway.secretVariable" (list "GATEWAY__BACKEND__TOKEN" (include "game-gateway.fullname" .) "backend-token") }}
{{- end }}
{{- if eq .Values.routes.source "redis" }}
{{- include "game-gateway.redisVariables" (list . (include "game-gateway.fullname" .)) }}
{{- end }}
{{- end -}}

{{/* Mounts below /etc/game-gateway, as a map from folder to volume source. Whole folders, because a file
     that is mounted alone is never updated. */}}
{{- define "game-gateway.mounts" -}}
config:
  configMap:
    name: {{ include "game-gateway.fullname" . | quote }}
token-keys:
  secret:
    secretName: {{ include "game-gateway.tokenKeysSecret" . | quote }}
    items:
      - key: {{ .Values.tokenKeys.existingSecretKey | quote }}
        path: token-keys
{{- if eq .Values.routes.source "file" }}
routes:
  configMap:
    name: {{ default (printf "%s-routes" (include "game-gateway.fullname" .)) .Values.routes.existingConfigMap | quote }}
{{- else if and .Values.externalRedis.tls.enabled (not .Values.redis.enabled) }}
redis-tls:
  secret:
    secretName: {{ .Values.externalRedis.tls.existingSecret | quote }}
{{- end }}
{{- if .Values.tls.enabled }}
{{- range $number, $name := concat (list (include "game-gateway.tlsSecret" .)) (default list .Values.tls.extraSecrets) }}
tls-{{ $number }}:
  secret:
    secretName: {{ $name | quote }}
{{- end }}
{{- with .Values.tls.clientCaSecret }}
tls-client-ca:
  secret:
    secretName: {{ . | quote }}
{{- end }}
{{- end }}
{{- if .Values.adminTls.enabled }}
admin-tls:
  secret:
    secretName: {{ .Values.adminTls.existingSecret | quote }}
{{- with .Values.adminTls.clientCaSecret }}
admin-client-ca:
  secret:
    secretName: {{ . | quote }}
{{- end }}
{{- end }}
{{- if .Values.backendTls.enabled }}
backend-tls:
  secret:
    secretName: {{ .Values.backendTls.existingSecret | quote }}
{{- end }}
{{- end -}}

{{/* A probe: (list . "startupProbe" "customStartupProbe" "/health"). */}}
{{- define "game-gateway.probe" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $probe := index $root.Values $name -}}
{{- with index $root.Values (index . 2) -}}
{{ $name }}:
  {{- tpl (toYaml .) $root | nindent 2 }}
{{- else -}}
{{- if $probe.enabled -}}
{{ $name }}:
  httpGet:
    path: {{ index . 3 }}
    port: admin
    {{- if $root.Values.adminTls.enabled }}
    # Without a client certificate, which probes do not need.
    scheme: HTTPS
    {{- end }}
  {{- range $field, $value := omit $probe "enabled" }}
  {{- if ne (toString $value) "" }}
  {{ $field }}: {{ $value }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Labels of the pods of every part: (dict "labels" "…YAML…" "own" {…}). Without the chart's version: another
     chart alone is no reason to move players. The chart's labels win, then the part's own. */}}
{{- define "game-gateway.podLabels" -}}
{{- $labels := omit (.labels | fromYaml) "helm.sh/chart" -}}
{{- merge $labels (default dict .own) (default dict .root.Values.podLabels) | toYaml -}}
{{- end -}}

{{/* Annotations of the pods of every part, the chart's last: (dict "root" . "own" {…} "chart" {…}). */}}
{{- define "game-gateway.podAnnotations" -}}
{{- $values := .root.Values -}}
{{- with merge (dict) (default dict .chart) (default dict .own) (default dict $values.podAnnotations) (default dict $values.commonAnnotations) -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Of a value of a part, or the common one: (list . {own} "tolerations"), in YAML below its name. */}}
{{- define "game-gateway.podField" -}}
{{- $root := index . 0 -}}
{{- $name := index . 2 -}}
{{- with default (get $root.Values $name) (get (index . 1) $name) }}
{{ $name }}:
  {{- tpl (toYaml .) $root | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Security, names and places of the pods of every part: (dict "root" . "own" {values that win}). */}}
{{- define "game-gateway.podSettings" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $own := default dict .own -}}
{{- with $values.podSecurityContext -}}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
# A variable for each Service of the namespace would be a lot of them.
enableServiceLinks: false
{{- with concat ((include "game-gateway.global" $root | fromJson).imagePullSecrets) (default list $values.image.pullSecrets) | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with default (default (ternary "ClusterFirstWithHostNet" "" (hasKey . "hostNetwork")) $values.dnsPolicy) $own.dnsPolicy }}
dnsPolicy: {{ . | quote }}
{{- end }}
{{- range list "dnsConfig" "hostAliases" "nodeSelector" "tolerations" }}
{{- include "game-gateway.podField" (list $root $own .) }}
{{- end }}
{{- with default $values.priorityClassName $own.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The same of a part that is no gateway. It follows gateways to their nodes, but not their rules about
     each other: a Job must find a place where every node has a gateway. */}}
{{- define "game-gateway.partSettings" -}}
{{- $own := default dict .own -}}
{{- include "game-gateway.podSettings" . }}
{{- $nodes := pick (default dict .root.Values.affinity) "nodeAffinity" }}
{{- with default $nodes $own.affinity }}
affinity:
  {{- tpl (toYaml .) $.root | nindent 2 }}
{{- end }}
automountServiceAccountToken: false
{{- end -}}

{{/* A gateway's affinity. Preferred terms without a labelSelector get that of the gateways. */}}
{{- define "game-gateway.affinity" -}}
{{- $affinity := tpl (toYaml (default dict .Values.affinity)) . | fromYaml -}}
{{- $selector := dict "matchLabels" (include "game-gateway.selector" . | fromYaml) -}}
{{- range $kind := list "podAffinity" "podAntiAffinity" -}}
{{- range dig $kind "preferredDuringSchedulingIgnoredDuringExecution" list $affinity -}}
{{- if not (hasKey .podAffinityTerm "labelSelector") }}{{ $_ := set .podAffinityTerm "labelSelector" $selector }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $affinity }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* A container's last words become its message, where `kubectl describe pod` shows them. */}}
{{- define "game-gateway.containerFields" -}}
terminationMessagePolicy: FallbackToLogsOnError
{{- with .Values.containerSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What the pods of gateways are, under whatever controller. */}}
{{- define "game-gateway.podTemplate" -}}
metadata:
  labels:
    {{- include "game-gateway.podLabels" (dict "root" . "labels" (include "game-gateway.labels" .)) | nindent 4 }}
  {{- /* Of what is given as values. What was made up stays; what is in other Secrets is not known here. */}}
  {{- $sums := dict "checksum/config" (include "game-gateway.configFile" . | sha256sum) "checksum/secrets" (include "game-gateway.givenSecrets" . | sha256sum) }}
  {{- include "game-gateway.podAnnotations" (dict "root" . "chart" $sums) | nindent 2 }}
spec:
  serviceAccountName: {{ include "game-gateway.serviceAccountName" . | quote }}
  automountServiceAccountToken: {{ .Values.scaleDown.podDeletionCost.enabled }}
  terminationGracePeriodSeconds: {{ include "game-gateway.grace" . }}
  {{- if .Values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- $settings := dict "root" . }}
  {{- if .Values.hostNetwork }}{{ $_ := set $settings "hostNetwork" true }}{{ end }}
  {{- include "game-gateway.podSettings" $settings | nindent 2 }}
  {{- with include "game-gateway.affinity" . }}
  affinity:
    {{- . | nindent 4 }}
  {{- end }}
  {{- if and .Values.topologySpreadConstraints (ne .Values.kind "DaemonSet") }}
  {{- $selector := dict "labelSelector" (dict "matchLabels" (include "game-gateway.selector" $ | fromYaml)) }}
  topologySpreadConstraints:
    {{- range .Values.topologySpreadConstraints }}
    - {{ merge (dict) . $selector | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  containers:
    - name: game-gateway
      {{- include "game-gateway.imageFields" (list . .Values.image) | nindent 6 }}
      args:
        - serve
        - --config
        - {{ include "game-gateway.folder" . }}/config/game-gateway.toml
        {{- with .Values.extraArgs }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
      {{- with include "game-gateway.environmentFields" (dict "root" . "chart" (include "game-gateway.environment" .)) | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      ports:
        - name: game
          containerPort: {{ .Values.containerPorts.game }}
        - name: admin
          containerPort: {{ .Values.containerPorts.admin }}
        {{- if .Values.peer.enabled }}
        - name: peer
          containerPort: {{ .Values.containerPorts.peer }}
        {{- end }}
        {{- with .Values.extraContainerPorts }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
      {{- with include "game-gateway.probe" (list . "startupProbe" "customStartupProbe" "/health") }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with include "game-gateway.probe" (list . "livenessProbe" "customLivenessProbe" "/health") }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with include "game-gateway.probe" (list . "readinessProbe" "customReadinessProbe" "/ready") }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- $sleep := ternary (dict "preStop" (dict "sleep" (dict "seconds" .Values.drain.preStopSleepSeconds))) dict (gt (int .Values.drain.preStopSleepSeconds) 0) }}
      {{- $hooks := tpl (toYaml (default dict .Values.lifecycleHooks)) . | fromYaml }}
      {{- if not (hasKey $hooks "preStop") }}{{ $hooks = merge $hooks $sleep }}{{ end }}
      {{- with $hooks }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "game-gateway.containerFields" . | nindent 6 }}
      volumeMounts:
        {{- range $folder, $_ := include "game-gateway.mounts" . | fromYaml }}
        - name: {{ $folder }}
          mountPath: {{ include "game-gateway.folder" $ }}/{{ $folder }}
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
    {{- with .Values.sidecars }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    {{- range $folder, $source := include "game-gateway.mounts" . | fromYaml }}
    - name: {{ $folder }}
      {{- toYaml $source | nindent 6 }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
{{- end -}}
