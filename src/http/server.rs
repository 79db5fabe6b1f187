//! The server: listens, accepts within a limit, and stops gracefully. What a connection does is
//! in `connection`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Gate, Protocol};
use super::proxies::TrustedProxies;
use super::rates::Rates;
use super::state::State;
use super::tls::{self, TlsError, TlsFiles};
use crate::config::{HttpLimits, RateLimits};

/// How to listen.
#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    pub tls: Option<TlsFiles>,
    pub limits: HttpLimits,
    /// Nobody is limited unless this says so.
    pub rates: RateLimits,
    pub proxies: TrustedProxies,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("TLS is not possible")]
    Tls(#[from] TlsError),
}

/// A server that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    limits: HttpLimits,
    gate: Arc<Gate>,
}

/// The pause after a failed accept, as when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

impl Server {
    pub async fn bind(address: SocketAddr, config: ServerConfig) -> Result<Server, ServerError> {
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let bind = |source| ServerError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let gate = Arc::new(Gate { rates: Rates::new(&config.rates), proxies: config.proxies });
        Ok(Server { listener, address, tls, limits: config.limits, gate })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done; then accepts nothing more, answers what is under way, and
    /// returns when all is answered or the time for it is over.
    pub async fn serve(self, state: State, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(self.limits.connections_max));
        let protocol = Arc::new(Protocol::new(&self.limits, Arc::clone(&self.gate)));
        let mut upkeep = tokio::time::interval(UPKEEP_PERIOD);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => match Arc::clone(&slots).try_acquire_owned() {
                        Ok(slot) => self.spawn(stream, peer.ip(), slot, &protocol, &state, stopped.clone()),
                        Err(_) => state.meters().connections_refused.increment(1),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = upkeep.tick() => {
                    // Tens of milliseconds under load, in which no connection of this thread would be served.
                    let (meters, gate) = (state.meters(), Arc::clone(&self.gate));
                    tokio::task::spawn_blocking(move || {
                        meters.upkeep();
                        gate.rates.sweep();
                    });
                }
                () = &mut shutdown => break,
            }
        }
        drop(self.listener);
        state.stopping();
        drop(stopped);
        let _ = stop.send(true);
        // Each connection has a receiver, so the channel closes with the last of them.
        if tokio::time::timeout(self.limits.drain, stop.closed()).await.is_err() {
            tracing::warn!(connections = stop.receiver_count(), "connections were cut off while stopping");
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        slot: OwnedSemaphorePermit,
        protocol: &Arc<Protocol>,
        state: &State,
        stopped: watch::Receiver<bool>,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection was gone before it was served");
            return;
        }
        let (tls, limits) = (self.tls.clone(), self.limits);
        let (protocol, state) = (Arc::clone(protocol), state.clone());
        tokio::spawn(async move {
            let connections = state.meters().connections.clone();
            connections.increment(1.0);
            match tls {
                None => connection::run(stream, &protocol, state, limits, peer, stopped).await,
                Some(tls) => match tokio::time::timeout(limits.header_read, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection::run(stream, &protocol, state, limits, peer, stopped).await,
                    Ok(Err(error)) => tracing::debug!(%error, "the TLS handshake failed"),
                    Err(_) => tracing::debug!("the TLS handshake took too long"),
                },
            }
            connections.decrement(1.0);
            drop(slot);
        });
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).field("tls", &self.tls.is_some()).finish()
    }
}
