"""What this package uses of DVC, of its libraries, and of other private interfaces.

``test_seams`` checks the table against our code and against what is installed, so that
a failure after an upgrade says what has changed, and which modules use it.
"""

from __future__ import annotations

from dataclasses import dataclass

LIBRARIES = {
    *("dvc", "dvc_data", "dvc_objects", "dvc_s3", "dvc_azure", "dvc_gs", "dvc_http"),
    *("scmrepo", "gto", "dulwich", "pygit2"),
    *("uvicorn", "h11", "fsspec", "configobj", "aiobotocore", "azure"),
}
"""Packages of which each name that our code uses is in the table."""


@dataclass(frozen=True)
class Seam:
    """How one name is used."""

    args: int = 0
    """The most positional arguments of a call; ``self`` of a method is one."""

    keywords: str = ""
    """The keyword arguments of all calls."""

    members: str = ""
    """The attributes and methods of instances."""

    overrides: str = ""
    """What subclasses of ours replace."""

    is_checked: bool = False
    """Whether our code looks whether it is there, and works without it."""


SEAMS = {
    # DVC, the command line
    "dvc.cli.DvcParserError": Seam(),
    "dvc.cli.command.CmdBaseNoRepo": Seam(overrides="do_run"),
    "dvc.cli.completion": Seam(),
    "dvc.cli.completion.DIR": Seam(),
    "dvc.cli.completion.FILE": Seam(),
    "dvc.cli.formatter.RawDescriptionHelpFormatter": Seam(),
    "dvc.cli.main": Seam(1),
    "dvc.cli.parser": Seam(),
    "dvc.cli.parser.COMMANDS": Seam(members="extend"),
    "dvc.cli.parser.DvcParser": Seam(overrides="error parse_known_args"),
    "dvc.cli.parser.DvcParser.error": Seam(3),
    "dvc.cli.parser.get_main_parser": Seam(),
    "dvc.cli.parser.get_main_parser.cache_clear": Seam(),
    "dvc.env.DVC_NO_ANALYTICS": Seam(),
    "dvc.logger.ColorFormatter": Seam(),
    "dvc.logger.LoggerHandler": Seam(),
    "dvc.progress.Tqdm": Seam(
        keywords="desc bytes total initial dynamic_ncols postfix",
        members="close postfix total update_to",
    ),
    "dvc.ui.ui": Seam(),
    "dvc.ui.ui.confirm": Seam(1),
    "dvc.ui.ui.error_write": Seam(1),
    "dvc.ui.ui.isatty": Seam(),
    "dvc.ui.ui.table": Seam(1, "headers force"),
    "dvc.ui.ui.write": Seam(1, "force"),
    "dvc.version.version_tuple": Seam(),
    # DVC, errors
    "dvc.config.ConfigError": Seam(1),
    "dvc.config.NoRemoteError": Seam(1),
    "dvc.config.RemoteNotFoundError": Seam(),
    "dvc.exceptions.DvcException": Seam(1),
    "dvc.exceptions.NotDvcRepoError": Seam(),
    "dvc.fs.AuthError": Seam(),
    "dvc.fs.ConfigError": Seam(),
    "dvc.lock.LockError": Seam(),
    "dvc.scm.CloneError": Seam(),
    "dvc.scm.RevError": Seam(),
    "dvc.scm.SCMError": Seam(),
    "dvc.utils.serialize.ParseError": Seam(),
    # DVC, config
    "dvc.config": Seam(),
    "dvc.config.Config": Seam(
        1,
        "config remote local_dvc_dir",
        members="dvc_dir load read",
        overrides="fs wfs files _load_config",
    ),
    "dvc.config.Config.CONFIG": Seam(),
    "dvc.config.Config.CONFIG_LOCAL": Seam(),
    "dvc.config.Config.SYSTEM_LEVELS": Seam(),
    "dvc.config.Config.get_dir": Seam(1),
    "dvc.config.Config.load_file": Seam(1, "fs"),
    "dvc.config.Config.read": Seam(2),
    "dvc.config.Config.validate": Seam(1),
    "dvc.config._lower_keys": Seam(1),
    "dvc.config._parse_named": Seam(1, is_checked=True),
    "dvc.config.merge": Seam(2),
    "dvc.config_schema.REMOTE_SCHEMAS": Seam(is_checked=True),
    "dvc.config_schema.SCHEMA": Seam(),
    "dvc.dirs.site_cache_dir": Seam(1, is_checked=True),
    # DVC, projects
    "dvc.cachemgr": Seam(),
    "dvc.cachemgr.CacheManager": Seam(members="local_cache_dir"),
    "dvc.cachemgr.CacheManager.__getattr__": Seam(2),  # of 'legacy' and 'local'
    "dvc.data_cloud.DataCloud.get_remote": Seam(1, "name command"),
    "dvc.data_cloud.Remote": Seam(3, members="fs legacy_odb odb path worktree"),
    "dvc.dependency.repo.RepoDependency": Seam(members="def_path def_repo"),
    "dvc.dvcfile.ProjectFile": Seam(members="artifacts exists load resolver"),
    "dvc.dvcfile.is_valid_filename": Seam(1),
    "dvc.dvcfile.load_file": Seam(2),
    "dvc.fs.DVCFileSystem": Seam(
        keywords="url rev subrepos repo_factory config remote remote_config",
        members="info open repo",
    ),
    "dvc.fs.GitFileSystem": Seam(keywords="rev trie"),
    "dvc.fs.LocalFileSystem": Seam(),
    "dvc.fs.get_cloud_fs": Seam(1, "name"),
    "dvc.ignore.DvcIgnoreFilter": Seam(members="is_ignored_file walk"),
    "dvc.ignore.DvcIgnoreFilter.walk": Seam(3),
    "dvc.lock.Lock": Seam(members="lock unlock"),
    "dvc.output.Output": Seam(
        members="can_push def_path files fs_path hash_info hash_name meta protocol "
        "remote stage use_cache"
    ),
    "dvc.parsing.DataResolver": Seam(members="definitions"),
    "dvc.parsing.MatrixDefinition": Seam(members="matrix_data resolved_iterable"),
    "dvc.repo": Seam(),
    "dvc.repo.Repo": Seam(
        1,
        "config fs scm uninitialized",  # and _wait_for_lock, from DVC 3.61 on
        members="_config _data_index cache close cloud config dvc_dir dvcignore fs "
        "index lock root_dir site_cache_dir state tmp_dir",
        overrides="close config site_cache_dir tmp_dir",
    ),
    "dvc.repo.index.Index": Seam(members="outs"),
    "dvc.repo.index.Index.from_file": Seam(2),
    "dvc.repo.metrics.show._gather_metrics": Seam(1, "on_error"),
    "dvc.repo.open_repo": Seam(),
    "dvc.repo.open_repo.clean_repos": Seam(),
    "dvc.repo.params.show._gather_params": Seam(1, "on_error"),
    "dvc.scm": Seam(),
    "dvc.stage.Stage": Seam(
        members="deps is_db_import is_import is_repo_import path wdir"
    ),
    "dvc.stage.cache": Seam(),
    "dvc.utils.serialize.dumps_yaml": Seam(1),
    "dvc.utils.serialize.load_yaml": Seam(1),
    "dvc.utils.serialize.parse_yaml": Seam(2),
    # dvc-data, objects and hashes
    "dvc_data.hashfile.build.IgnoreInCollectedDirError": Seam(),
    "dvc_data.hashfile.build.build": Seam(4, "dry_run ignore"),
    "dvc_data.hashfile.db.HashFileDB": Seam(
        2,
        "hash_name",
        members="cache_types fs list_oids_exists makedirs oid_to_path oids_exist path "
        "protect state",
    ),
    "dvc_data.hashfile.db.HashFileDB.add": Seam(
        4, "on_error callback batch_size verify"
    ),
    "dvc_data.hashfile.db.add_update_tree": Seam(2),
    "dvc_data.hashfile.db.local.LocalHashFileDB": Seam(2, "hash_name"),
    "dvc_data.hashfile.hash.file_md5": Seam(2, "name"),
    "dvc_data.hashfile.hash.fobj_md5": Seam(1, "chunk_size name"),
    "dvc_data.hashfile.hash_info.HashInfo": Seam(2, members="name value"),
    "dvc_data.hashfile.meta.Meta": Seam(members="isexec nfiles remote size version_id"),
    "dvc_data.hashfile.state.State.close": Seam(1),
    "dvc_data.hashfile.state.State.get": Seam(4),
    "dvc_data.hashfile.state.State.save": Seam(5),
    "dvc_data.hashfile.state.State.save_many": Seam(3, is_checked=True),
    "dvc_data.hashfile.tree.Tree": Seam(members="digest hash_info"),
    "dvc_data.hashfile.tree.Tree.add": Seam(4),
    "dvc_data.hashfile.tree.Tree.from_list": Seam(1, "hash_name"),
    "dvc_data.hashfile.tree.Tree.load": Seam(2),
    # dvc-objects, file systems
    "dvc_objects.errors.ObjectFormatError": Seam(),
    "dvc_objects.fs.MemoryFileSystem": Seam(),
    "dvc_objects.fs.base.FileSystem": Seam(
        members="_prepare_credentials exists fs info isfile join open protocol size "
        "version_aware"
    ),
    "dvc_objects.fs.base.FileSystem.cat_file": Seam(2),
    "dvc_objects.fs.errors.RemoteMissingDepsError": Seam(),
    "dvc_objects.fs.generic.test_links": Seam(5),
    "dvc_objects.fs.generic.transfer": Seam(4, "links"),
    "dvc_objects.fs.localfs": Seam(),
    "dvc_objects.fs.localfs.info": Seam(1),
    # Clouds
    "adlfs.AzureBlobFileSystem": Seam(
        members="account_key account_name connection_string"
    ),
    "aiobotocore.session.AioSession": Seam(
        keywords="profile",
        members="full_config get_scoped_config profile set_config_variable",
    ),
    "azure.storage.blob.generate_blob_sas": Seam(3, "account_key permission expiry"),
    "dvc_azure.AzureFileSystem": Seam(overrides="_prepare_credentials"),
    "dvc_s3.S3FileSystem": Seam(
        members="_transfer_config",
        overrides="_load_aws_config_file _prepare_credentials",
    ),
    "dvc_s3.S3FileSystem._load_aws_config_file": Seam(2),
    "fsspec.Callback": Seam(
        members="value", overrides="absolute_update branched relative_update"
    ),
    "fsspec.Callback.branched": Seam(3),
    "s3fs.S3FileSystem": Seam(members="loop sign"),
    "s3fs.S3FileSystem.get_s3": Seam(2),
    # Git
    "dulwich.config.ConfigFile": Seam(members="items sections"),
    "dulwich.config.StackedConfig": Seam(members="backends"),
    "dulwich.config.StackedConfig.get": Seam(3),
    "dulwich.config.apply_instead_of": Seam(2),
    "dulwich.ignore.IgnoreFilterManager": Seam(members="is_ignored"),
    "dulwich.ignore.IgnoreFilterManager.from_repo": Seam(1),
    "dulwich.objects.ShaFile": Seam(members="as_raw_string raw_length type_name"),
    "dulwich.refs.RefsContainer": Seam(members="as_dict follow keys read_ref"),
    "dulwich.repo.Repo": Seam(
        members="bare commondir get_config_stack head object_store open_index path refs"
    ),
    "scmrepo.exceptions.SCMError": Seam(),
    "scmrepo.git.Git": Seam(
        1,
        "backends search_parent_directories",
        members="GITIGNORE close dulwich ignore",
    ),
    "scmrepo.git.backend.dulwich.DulwichBackend": Seam(members="repo"),
    "scmrepo.noscm.NoSCM": Seam(1),
    "scmrepo.utils.LazyDict": Seam(1),
    # The server
    "h11.CLOSED": Seam(),
    "h11.DONE": Seam(),
    "h11.Data": Seam(keywords="data"),
    "h11.EndOfMessage": Seam(),
    "h11.IDLE": Seam(),
    "h11.MUST_CLOSE": Seam(),
    "h11.Response": Seam(keywords="status_code headers reason"),
    "h11.SEND_RESPONSE": Seam(),
    "uvicorn.Config": Seam(
        1,
        "access_log forwarded_allow_ips h11_max_incomplete_event_size http lifespan "
        "limit_concurrency log_config log_level loop server_header "
        "timeout_graceful_shutdown timeout_keep_alive ws",
        members="limit_concurrency loaded_app",
    ),
    "uvicorn.Server": Seam(1, members="run should_exit", overrides="handle_exit"),
    "uvicorn.protocols.http.h11_impl.H11Protocol": Seam(
        members="app config conn connections cycle limit_concurrency loop tasks "
        "timeout_keep_alive transport",
        overrides="_should_upgrade connection_lost connection_made handle_events "
        "on_response_complete pause_writing resume_writing send_400_response",
    ),
    "uvicorn.protocols.http.h11_impl.RequestResponseCycle": Seam(
        members="disconnected message_event response_complete"
    ),
    # Others
    "argparse.ArgumentParser": Seam(members="_actions _option_string_actions"),
    "argparse._SubParsersAction": Seam(
        members="_ChoicesPseudoAction _choices_actions _name_parser_map"
    ),
    "configobj.ConfigObj": Seam(1, "interpolation", members="dict write"),
    "configobj.ConfigObjError": Seam(),
}
