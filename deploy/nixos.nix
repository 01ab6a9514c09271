# A NixOS module: any number of nodes, each `services.purgatory-sync.<name>`. The key comes from a
# file by LoadCredential; an option with the key itself would land in the store, which all can read.
{ config, lib, pkgs, ... }:

let
  inherit (lib) mkOption mkEnableOption types mapAttrs' nameValuePair filterAttrs;
  instances = filterAttrs (_: node: node.enable) config.services.purgatory-sync;
in
{
  options.services.purgatory-sync = mkOption {
    default = { };
    description = "GRASP nodes: a Nostr relay and a git server in one.";
    type = types.attrsOf (types.submodule ({ name, ... }: {
      options = {
        enable = mkEnableOption "this purgatory-sync node";
        package = mkOption {
          type = types.package;
          description = "The package with bin/purgatory-sync.";
        };
        domain = mkOption {
          type = types.str;
          example = "git.example.org";
          description = "host[:port] by which others know the service (NGIT_DOMAIN).";
        };
        bindAddress = mkOption {
          type = types.str;
          default = "127.0.0.1";
          description = "Address to listen on.";
        };
        port = mkOption {
          type = types.port;
          default = 7334;
          description = "Port to listen on.";
        };
        dataDir = mkOption {
          type = types.str;
          default = "/var/lib/purgatory-sync-${name}";
          readOnly = true;
          description = "Where store and repositories lie.";
        };
        environment = mkOption {
          type = types.attrsOf types.str;
          default = { };
          example = { NGIT_TRUSTED_PROXY_CIDRS = "127.0.0.1/32"; };
          description = "Settings beside those above; none of them a secret.";
        };
        ownerNsecFile = mkOption {
          type = types.nullOr types.path;
          default = null;
          description = "File with the service's key; made once in dataDir when null.";
        };
      };
    }));
  };

  config.systemd.services = mapAttrs' (name: node: nameValuePair "purgatory-sync-${name}" {
    description = "purgatory-sync node ${name}";
    wantedBy = [ "multi-user.target" ];
    wants = [ "network-online.target" ];
    after = [ "network-online.target" ];
    path = [ pkgs.git ];
    environment = {
      NGIT_DOMAIN = node.domain;
      NGIT_BIND_ADDRESS = "${node.bindAddress}:${toString node.port}";
      NGIT_GIT_DATA_PATH = "${node.dataDir}/git";
      NGIT_RELAY_DATA_PATH = "${node.dataDir}/relay";
    } // node.environment;
    serviceConfig = {
      Type = "notify";
      NotifyAccess = "main";
      WatchdogSec = 60;
      DynamicUser = true;
      StateDirectory = "purgatory-sync-${name}";
      StateDirectoryMode = "0750";
      WorkingDirectory = node.dataDir;
      LoadCredential = lib.optional (node.ownerNsecFile != null) "relay_owner_nsec:${node.ownerNsecFile}";
      ExecStart = "${node.package}/bin/purgatory-sync";
      ExecReload = "/run/current-system/sw/bin/kill -HUP $MAINPID";
      Restart = "on-failure";
      RestartSec = 10;
      RestartPreventExitStatus = 2;
      TimeoutStartSec = "infinity";
      TimeoutStopSec = 300;
      LimitNOFILE = 65536;
      UMask = "0077";
      CapabilityBoundingSet = "";
      LockPersonality = true;
      NoNewPrivileges = true;
      PrivateDevices = true;
      PrivateTmp = true;
      ProtectClock = true;
      ProtectControlGroups = true;
      ProtectHome = true;
      ProtectHostname = true;
      ProtectKernelLogs = true;
      ProtectKernelModules = true;
      ProtectKernelTunables = true;
      ProtectProc = "invisible";
      ProtectSystem = "strict";
      RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_UNIX" ];
      RestrictNamespaces = true;
      RestrictRealtime = true;
      RestrictSUIDSGID = true;
      SystemCallArchitectures = "native";
      SystemCallFilter = "@system-service";
    };
  }) instances;
}
