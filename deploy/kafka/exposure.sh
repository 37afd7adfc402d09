# Sourced by the two scripts beside it: who may come from outside the containers.
#
# EXTERNAL_ADDRESS is the address of the host that the external listener's port is bound to. On the
# loopback only this machine reaches it, and nobody has to log in; on any other, everybody has to.
case ${EXTERNAL_ADDRESS:?} in
  127.* | ::1 | "[::1]" | localhost) login_needed=false ;;
  *) login_needed=true ;;
esac
