// A page of React with an older version of its SDK: components fail while they are rendered, in effects and in handlers.

import * as Sentry from '@sentry/react';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { failures, noun, number, phrase, run } from './page_failures.js';

const tracing = window.given.tracing ? [Sentry.browserTracingIntegration()] : [];
Sentry.init({ ...window.given.settings, integrations: tracing });

function Rows({ rows }) {
  return <ul>{rows.map(row => <li key={row.id}>{row.owner.name}</li>)}</ul>;
}

function Total({ amount }) {
  const text = React.useMemo(() => amount.toFixed(2), [amount]);
  return <b>{text}</b>;
}

function Loader({ path }) {
  const [rows, setRows] = React.useState([]);
  React.useEffect(() => { fetch(path).then(response => response.json()).then(setRows); }, [path]);
  return <Rows rows={rows} />;
}

function Measured() {
  const box = React.useRef(null);
  React.useLayoutEffect(() => { box.current.measure.start(); });
  return <div ref={box}>{phrase()}</div>;
}

function Wrong() {
  return <p>{{ [noun()]: number() }}</p>;
}

function Conditional({ open }) {
  if (open) React.useState(0);
  const [count, setCount] = React.useState(0);
  React.useEffect(() => setCount(number()), []);
  return <Total amount={count || undefined} />;
}

class Counter extends React.Component {
  componentDidMount() {
    this.setState({ size: this.props.items.length });
  }

  render() {
    return <i>{noun()}</i>;
  }
}

const Button = ({ order }) => <button id={noun()} type="button" onClick={() => order.lines[0].remove()}>{phrase()}</button>;
const Lazy = React.lazy(() => import(`/assets/${noun()}-${number()}.js`));
const Context = React.createContext(null);
const Consumer = () => <p>{React.useContext(Context).user.name}</p>;

const trees = [
  () => <Rows />, () => <Rows rows={[{ id: 1, owner: null }]} />, () => <Total />, () => <Total amount={String(number())} />,
  () => <Loader path={`/${noun()}s/${number()}`} />, () => <Measured />, () => <Wrong />, () => <Conditional open />,
  () => <Counter />, () => <React.Suspense fallback="…"><Lazy /></React.Suspense>, () => <Consumer />, () => <Button order={{}} />,
];

function show(tree) {
  const element = document.createElement('section');
  document.getElementById('root').append(element);
  const handlers = number(2) && {
    onUncaughtError: Sentry.reactErrorHandler(),
    onCaughtError: Sentry.reactErrorHandler(),
    onRecoverableError: Sentry.reactErrorHandler(),
  };
  const content = number(3) ? <Sentry.ErrorBoundary fallback={<p>{phrase()}</p>}>{tree()}</Sentry.ErrorBoundary> : tree();
  createRoot(element, handlers || {}).render(<React.StrictMode><main>{content}</main></React.StrictMode>);
  setTimeout(() => element.querySelector('button')?.click(), 20);
}

const rendered = Object.fromEntries(trees.map((tree, index) => [`tree${index}`, () => show(tree)]));
const several = Object.fromEntries(Object.entries(rendered).map(([name, tree]) => [`${name}again`, tree]));
const third = Object.fromEntries(Object.entries(rendered).map(([name, tree]) => [`${name}anew`, tree]));
run(Sentry, { ...failures, ...rendered, ...several, ...third });
