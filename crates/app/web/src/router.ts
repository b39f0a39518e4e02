// The front end's own paths; the server answers all of them with the page.

import { useEffect, useState } from 'preact/hooks';

export type Route = 'notifications' | 'schedules';

const PATHS: Record<Route, string> = { notifications: '/', schedules: '/schedules' };

export function href(route: Route): string {
  return PATHS[route];
}

/** The route of the address bar; a path that is none of ours counts as the first. */
export function useRoute(): Route {
  const [route, setRoute] = useState(current);
  useEffect(() => {
    const follow = () => setRoute(current());
    addEventListener('popstate', follow);
    document.addEventListener('click', navigate);
    return () => {
      removeEventListener('popstate', follow);
      document.removeEventListener('click', navigate);
    };
  }, []);
  return route;
}

function current(): Route {
  const path = location.pathname.replace(/\/$/, '') || '/';
  return (Object.keys(PATHS) as Route[]).find((route) => PATHS[route] === path) ?? 'notifications';
}

/** Follows plain clicks on our own links without loading the page again. */
function navigate(event: MouseEvent): void {
  const link = (event.target as Element).closest('a');
  const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!link || !plain || event.defaultPrevented || !Object.values(PATHS).includes(link.pathname)) return;
  event.preventDefault();
  if (link.pathname !== location.pathname) {
    history.pushState(null, '', link.pathname);
    dispatchEvent(new PopStateEvent('popstate'));
  }
}
