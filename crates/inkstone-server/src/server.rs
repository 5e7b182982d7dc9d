//! Listening, TLS, connections, and the way down.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::app::{App, Settings};
use crate::error::ServerError;
use crate::guard::guard;
use crate::model::{Loaded, Served};
use crate::{page, routes};

/// Time for a client's headers, and for its part of TLS.
const HEADERS: Duration = Duration::from_secs(15);

/// Everything that can be asked.
pub(crate) fn router(app: &Arc<App>) -> Router {
    use routes::{chat, completions, embeddings, messages, plain, responses, tokens};
    Router::new()
        .route("/", get(page::index))
        .route("/web/{file}", get(page::asset))
        .route("/health", get(plain::health))
        .route("/ready", get(plain::ready))
        .route("/metrics", get(plain::metrics))
        .route("/load", get(plain::load))
        .route("/openapi.json", get(plain::openapi))
        .route("/v1/models", get(plain::models))
        .route("/v1/models/{*name}", get(plain::model))
        .route("/v1/chat/completions", post(chat::chat))
        .route("/v1/completions", post(completions::completions))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/responses", post(responses::responses))
        .route("/v1/messages", post(messages::messages))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/tokenizer_info", get(tokens::tokenizer_info))
        .fallback(plain::nothing)
        .method_not_allowed_fallback(plain::otherwise)
        .layer(from_fn_with_state(Arc::clone(app), guard))
        .with_state(Arc::clone(app))
}

/// Serves until `stop` comes, or until loading the models fails.
///
/// The server listens at once; until `load` has given the models, which happens on a thread of its own, it says that it is not
/// ready. `listening` is told the address.
///
/// # Errors
/// If it cannot listen, its files are no certificate, or `load` fails.
pub fn serve<E: From<ServerError> + Send + 'static>(
    settings: Settings,
    load: impl FnOnce() -> Result<Vec<Loaded>, E> + Send + 'static,
    listening: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + Send,
) -> Result<(), E> {
    let address = settings.address;
    if !address.ip().is_loopback() && settings.keys.is_open() {
        return Err(ServerError::Open { address }.into());
    }
    let acceptor = settings.tls.as_ref().map(|(certificate, key)| acceptor(certificate, key)).transpose()?;
    let app = Arc::new(App::new(settings));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(ServerError::Start)?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ServerError::Listen { address, source })?;
        listening(listener.local_addr().unwrap_or(address));
        let (shared, limits) = (Arc::clone(&app), app.settings.engine);
        let loading = tokio::task::spawn_blocking(move || {
            let started: Result<Vec<Served>, ServerError> =
                load()?.into_iter().map(|loaded| Served::start(loaded, limits)).collect();
            // Nobody else sets it.
            let _ = shared.models.set(started?);
            Ok::<(), E>(())
        });
        accept(&app, &listener, acceptor, loading, stop).await
    })
}

/// Takes connections until it is time to stop, and then waits for those under way.
async fn accept<E: From<ServerError>>(
    app: &Arc<App>,
    listener: &TcpListener,
    acceptor: Option<TlsAcceptor>,
    loading: tokio::task::JoinHandle<Result<(), E>>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), E> {
    let (graceful, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(app.settings.connections.max(1))));
    let service = TowerToHyperService::new(router(app));
    let (mut loading, mut stop) = (Some(loading), std::pin::pin!(stop));
    loop {
        let loaded = async {
            match &mut loading {
                Some(loading) => loading.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut stop => break,
            outcome = loaded => {
                loading = None;
                outcome.map_err(|error| ServerError::Start(error.into()))??;
                tracing::info!(models = app.models.get().map_or(0, Vec::len), "ready");
            }
            (connection, permit) = next(listener, &places) => {
                let Some(stream) = connection else { continue };
                let (service, acceptor, watcher) = (service.clone(), acceptor.clone(), graceful.watcher());
                tokio::spawn(async move {
                    match acceptor {
                        None => talk(stream, service, watcher, permit).await,
                        Some(acceptor) => {
                            if let Ok(Ok(stream)) = tokio::time::timeout(HEADERS, acceptor.accept(stream)).await {
                                talk(stream, service, watcher, permit).await;
                            }
                        }
                    }
                });
            }
        }
    }
    tracing::info!("stopping: answers under way are finished");
    app.stopping.store(true, Ordering::Relaxed);
    if tokio::time::timeout(app.settings.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some answers were cut off");
    }
    Ok(())
}

/// The next connection, once there is a place for it.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> (Option<TcpStream>, Option<OwnedSemaphorePermit>) {
    let permit = Arc::clone(places).acquire_owned().await.ok();
    match listener.accept().await {
        Ok((stream, _)) => {
            // Pieces of an answer are small, and go out at once.
            let _ = stream.set_nodelay(true);
            (Some(stream), permit)
        }
        Err(error) => {
            // Out of file descriptors, most likely.
            tracing::warn!(%error, "a connection could not be taken");
            tokio::time::sleep(Duration::from_millis(100)).await;
            (None, permit)
        }
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    service: TowerToHyperService<Router>,
    watcher: hyper_util::server::graceful::Watcher,
    permit: Option<OwnedSemaphorePermit>,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(64 << 10);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // What goes wrong on a connection is its client's business.
    let _ = watcher.watch(connection).await;
    drop(permit);
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, ServerError> {
    let wrong = |path: &Path, reason: String| ServerError::Certificate { path: path.to_owned(), reason };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| wrong(certificate, error.to_string()))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, secret);
    let mut config = config.map_err(|error| wrong(certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
