{{/* The chart's name in labels. */}}
{{- define "game-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Prefix of all names, with room for the longest suffix. */}}
{{- define "game-gateway.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 43 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 43 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* Selector of the gateways. The two labels never change, because a Deployment's selector is immutable. */}}
{{- define "game-gateway.selector" -}}
app.kubernetes.io/name: {{ include "game-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of all objects. */}}
{{- define "game-gateway.sharedLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: game-gateway
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Labels of the gateways' objects. Those of commonLabels cannot replace the chart's own. */}}
{{- define "game-gateway.labels" -}}
{{- $own := merge (include "game-gateway.selector" . | fromYaml) (include "game-gateway.sharedLabels" . | fromYaml) -}}
{{- $_ := set $own "app.kubernetes.io/component" "gateway" -}}
{{- merge $own (default dict .Values.commonLabels) | toYaml -}}
{{- end -}}

{{/* Selector of the pods of another part, given as (list . "echo"). The selector of the gateways must
     not match them. */}}
{{- define "game-gateway.partSelector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "game-gateway.name" $root }}-{{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- end -}}

{{- define "game-gateway.partLabels" -}}
{{- $root := index . 0 -}}
{{- $own := merge (include "game-gateway.partSelector" . | fromYaml) (include "game-gateway.sharedLabels" $root | fromYaml) -}}
{{- $_ := set $own "app.kubernetes.io/component" (index . 1) -}}
{{- merge $own (default dict $root.Values.commonLabels) | toYaml -}}
{{- end -}}

{{/* An object's metadata. Keys: root; ending (of the name) or the whole name; part, unless it is the
     gateways'; its own labels and annotations, which override the common ones; namespace. */}}
{{- define "game-gateway.metadata" -}}
{{- $root := .root -}}
{{- $labels := include "game-gateway.labels" $root -}}
{{- if .part }}{{ $labels = include "game-gateway.partLabels" (list $root .part) }}{{ end -}}
name: {{ default (printf "%s%s" (include "game-gateway.fullname" $root) (default "" .ending)) .name }}
namespace: {{ default (include "game-gateway.namespace" $root) .namespace }}
labels:
  {{- merge (dict) (default dict .labels) (fromYaml $labels) | toYaml | nindent 2 }}
{{- with merge (dict) (default dict .annotations) (default dict $root.Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image's reference: (list . .Values.image). Without a tag it is the chart's appVersion. */}}
{{- define "game-gateway.imageOf" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := default $image.registry $root.Values.global.imageRegistry -}}
{{- $name := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne $registry "") -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag | toString) -}}
{{- end -}}
{{- end -}}

{{- define "game-gateway.image" -}}
{{- include "game-gateway.imageOf" (list . .Values.image) -}}
{{- end -}}

{{- define "game-gateway.serviceAccountName" -}}
{{- $made := ternary (include "game-gateway.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $made .Values.serviceAccount.name -}}
{{- end -}}

{{/* A Service's name in DNS: (list . "-echo"). */}}
{{- define "game-gateway.host" -}}
{{- $root := index . 0 -}}
{{- printf "%s%s.%s.svc.%s" (include "game-gateway.fullname" $root) (index . 1) (include "game-gateway.namespace" $root) $root.Values.clusterDomain -}}
{{- end -}}

{{/* Minimum number of gateways. */}}
{{- define "game-gateway.replicas" -}}
{{- if .Values.autoscaling.enabled -}}
{{- .Values.autoscaling.minReplicas -}}
{{- else if eq (toString .Values.replicaCount) "" -}}
2
{{- else -}}
{{- .Values.replicaCount -}}
{{- end -}}
{{- end -}}
